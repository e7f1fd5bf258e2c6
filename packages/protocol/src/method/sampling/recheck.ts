/**
 * Re-checking evidence: what a third party does before it believes an accusation.
 *
 * The accuser is not trusted: nothing of the evidence is used but the state that it names. What decides is
 * the solver's signed response, the task and the input.
 */
import { type Rejection, reject, type Verdict } from '../../core/errors.ts'
import type { Task } from '../../task/task.ts'
import { type Evidence, evidenceOf } from './evidence.ts'
import { localExecutor } from './executor.ts'
import { lookUp } from './lookup.ts'
import type { VerifierRequest } from './messages.ts'
import { bindResponse, type OpenedResponse, openBound, type ResponseParts } from './response.ts'
import { checkState, isExact, stepFrom } from './steps.ts'

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
  const bound = await bindResponse(task, request, parts)
  // Nothing that the solver did not sign can be held against it.
  if (!bound.ok) return unfounded(`the response is not one that a solver signed (${bound.code})`)
  const handedStates = parts.states ?? null
  const opened = openBound(task, request, { bound: bound.value, handed: handedStates })
  if (!opened.ok) return { ok: true, value: opened }
  const index = evidence.stateIndex
  const { states, claimed, set, block } = opened.value
  if (index === null || !Number.isSafeInteger(index) || index < 0 || index >= states) {
    return unfounded('it names no state of the run, and the response opens without fault')
  }
  const handed = claimed.get(index)
  if (handed !== undefined) {
    const [found] = lookUp(task.state, [{ index, state: handed }], { set, block, as: 'claimed' })
    if ((found?.slotsHit ?? 0) < task.state.slots) return { ok: true, value: evidence }
  }
  const again = await recompute(task, request.solverRequest.solverInput, { opened: opened.value, index })
  return again === null
    ? unfounded(`state ${index}, recomputed, is as the response says`)
    : { ok: true, value: again }
}

/** By the rule of the verdict: one step where the states before are at hand, else the state from scratch. */
async function recompute<Input, State, Output>(
  task: Task<Input, State, Output>,
  input: Input,
  { opened, index }: { readonly opened: OpenedResponse<State>; readonly index: number },
): Promise<Evidence | null> {
  const handed = opened.claimed.get(index)
  if (task.step && isExact(task.state) && opened.claimed.size === opened.states) {
    const stepped = await stepFrom(task, input, { previous: opened.claimed.get(index - 1), index })
    return stepped.ok
      ? checkState(task, opened, { index, computed: stepped.value, handed })
      : evidenceOf(stepped)
  }
  for await (const segment of localExecutor(task, input).run([index])) {
    for (const computed of segment.states) return checkState(task, opened, { index, computed, handed })
  }
  return null
}

function unfounded(reason: string): Rejection {
  return reject('sampling/evidence', `the accusation does not hold: ${reason}`)
}
