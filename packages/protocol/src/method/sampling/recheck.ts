/**
 * Re-checking evidence: what a third party does before it believes an accusation.
 *
 * The accuser is not trusted: nothing of the evidence is used but the state that it names. What decides is
 * the solver's signed response, the task and the input.
 */
import { type Rejection, reject, type Verdict } from '../../core/errors.ts'
import type { Task } from '../../task/task.ts'
import type { Evidence } from './evidence.ts'
import { localExecutor } from './executor.ts'
import { lookUp } from './lookup.ts'
import type { VerifierRequest } from './messages.ts'
import { openResponse, type ResponseParts } from './response.ts'
import { checkState } from './verifier.ts'

/**
 * Looks again at what `evidence` accuses the response of. The verdict is ok, with what was found, where the
 * accusation holds; `sampling/evidence` where the response stands up to it. Costs at most one state, or one
 * replay up to it for a sequential task.
 */
export async function recheckEvidence<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  { evidence, ...parts }: ResponseParts<State> & { readonly evidence: Evidence },
): Promise<Verdict<Evidence | Rejection>> {
  const opened = await openResponse(task, request, parts)
  if (!opened.ok) return { ok: true, value: opened }
  const index = evidence.stateIndex
  const { states, claimed, set, block } = opened.value
  if (index === null || index >= states)
    return unfounded('it names no state, and the response opens without fault')
  const handed = claimed.get(index)
  if (handed !== undefined) {
    const [found] = lookUp(task.state, [{ index, state: handed }], { set, block, as: 'claimed' })
    if ((found?.slotsHit ?? 0) < task.state.slots) return { ok: true, value: evidence }
  }
  for await (const segment of localExecutor(task, request.solverRequest.solverInput).run([index])) {
    for (const computed of segment.states) {
      const again = checkState(task, { set, block }, { index, computed, handed })
      if (again) return { ok: true, value: again }
    }
  }
  return unfounded(`state ${index}, recomputed, is as the response says`)
}

function unfounded(reason: string): Rejection {
  return reject('sampling/evidence', `the accusation does not hold: ${reason}`)
}
