/**
 * The verifiers of SPEX that run everything again: adversarial (Algorithm 3), by chance, and the baseline
 * (section 5.1), always.
 *
 * The guarantee of the adversarial one holds over many requests, not for each: a response whose turn does not
 * come is accepted with nothing recomputed. Whether it came is decided by seed and commitment, so that anybody
 * can see it. What the response claims of its states is looked up in its proof in any case.
 */
import { equalBytes } from '../../core/bytes.ts'
import { AssayError } from '../../core/errors.ts'
import { randomStream, uniformInteger } from '../../core/sampling.ts'
import { challengeSeed } from '../../core/seed.ts'
import type { Task } from '../../task/task.ts'
import { describeState, type Evidence, evidenceOf } from './evidence.ts'
import { SEGMENT_STATES } from './executor.ts'
import { acceptsState } from './lookup.ts'
import type { VerifierRequest } from './messages.ts'
import { openResponse } from './response.ts'
import { isExact, stateEvidence } from './steps.ts'
import {
  type Check,
  checkClaims,
  computeStates,
  emptyCheck,
  type LazyCheck,
  rejected,
  type Verification,
  type VerifyOptions,
} from './verifier.ts'

/** Verifier A: with probability `verificationRatio` runs everything again and compares the output. */
export async function verifyAdversarial<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  options: VerifyOptions<State>,
): Promise<Verification> {
  const ratio = request.verificationRatio
  if (!(ratio >= 0 && ratio <= 1)) {
    throw new AssayError('sampling/config', `expected a verificationRatio from 0 to 1, got ${ratio}`)
  }
  return rerun('adversarial', task, { request, options, ratio })
}

/** Runs everything again and compares the output. */
export async function verifyBaseline<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  options: VerifyOptions<State>,
): Promise<Verification> {
  return rerun('baseline', task, { request, options, ratio: 1 })
}

interface Rerun<Input, State, Output> {
  readonly request: VerifierRequest<Input, Output>
  readonly options: VerifyOptions<State>
  readonly ratio: number
}

async function rerun<Input, State, Output>(
  verifier: 'adversarial' | 'baseline',
  task: Task<Input, State, Output>,
  { request, options, ratio }: Rerun<Input, State, Output>,
): Promise<Verification> {
  const input = request.solverRequest.solverInput
  ;(task.input.assert as (value: unknown) => void)(input)
  const states = task.states(input)
  const opened = await openResponse(task, request, options)
  if (!opened.ok) return rejected(verifier, states, evidenceOf(opened))
  const seed = challengeSeed({ seed: options.seed, commitmentDigest: opened.value.commitmentDigest })
  const chosen = isChosen(seed, ratio)
  const parts = { task, input, opened: opened.value, options }
  const evidence = checkClaims(parts, []) ?? (chosen ? await compareRun(parts, request) : null)
  const samples = chosen ? states : 0
  const check: Check = { ...emptyCheck(verifier, states), samples, outputBinding: opened.value.outputBinding }
  return { response: { isVerified: evidence === null, countItems: samples, evidence }, check }
}

/** True with probability `ratio`, derived from the seed so that anybody can see whether it was this one's turn. */
export function isChosen(seed: Uint8Array, ratio: number): boolean {
  const resolution = 2 ** 52
  return uniformInteger(randomStream(seed, 'adversarial'), resolution) < ratio * resolution
}

async function compareRun<Input, State, Output>(
  parts: LazyCheck<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
): Promise<Evidence | null> {
  const { task, input, opened, options } = parts
  const states: State[] = []
  const total = opened.states
  for await (const state of computeStates(parts, { from: 0, to: total })) {
    states.push(state)
    if (states.length % SEGMENT_STATES === 0)
      options.onProgress?.({ phase: 'verify', done: states.length, total })
  }
  for (const [index, claimed] of opened.claimed) {
    const computed = states[index] as State
    if (!acceptsState(task.state, computed, claimed)) {
      return stateEvidence('sampling/output-mismatch', task, { index, computed, handed: claimed })
    }
  }
  // Within a tolerance the output is what the solver's own states give, which openResponse has checked.
  if (!isExact(task.state) && opened.claimed.size > 0) return null
  const expected = task.output.encode(task.output.derive(states, input))
  const found = task.output.encode(request.solverOutput)
  if (equalBytes(expected, found)) return null
  return {
    code: 'sampling/output-mismatch',
    message: 'a full re-execution gives another output than the one handed over',
    stateIndex: null,
    expected: describeState(expected),
    found: describeState(found),
  }
}
