/**
 * The verifiers of SPEX, section 5.2.2, in the hardened profile: lazy (Algorithm 2), adversarial
 * (Algorithm 3), and the baseline that runs everything again (section 5.1).
 *
 * Threat: everything that came from the solver is hostile: response, proof, states, openings, commitment.
 * Whatever is wrong with it is a rejection with evidence. Throwing means that the caller misused the
 * function: an input or an ask out of range, a cancelled run, a task that fails on its own input.
 */
import { equalBytes } from '../../core/bytes.ts'
import { AssayError, attempt, type Rejection } from '../../core/errors.ts'
import type { Job, SignedExecution } from '../../core/poe.ts'
import { randomStream, sampleIndices, uniformInteger } from '../../core/sampling.ts'
import { challengeSeed } from '../../core/seed.ts'
import { confidenceReached } from '../../core/statistics.ts'
import type { Task } from '../../task/task.ts'
import { type CheckpointOpenings, type OpenCheckpoints, readOpenings, touchedStates } from './checkpoints.ts'
import { type Ask, samplesFor } from './config.ts'
import { describeState, type Evidence, evidenceOf } from './evidence.ts'
import { type Executor, localExecutor, type Progress, SEGMENT_STATES, splitIndices } from './executor.ts'
import { acceptsState, type IndexedState, lookUp } from './lookup.ts'
import type { VerifierRequest, VerifierResponse } from './messages.ts'
import { type OpenedResponse, type OutputBinding, openResponse } from './response.ts'
import { passingRate } from './security.ts'

export interface VerifyOptions<State> {
  readonly job: Job
  readonly commitment: SignedExecution
  /** States that the solver handed over beside its output, or null. */
  readonly states?: readonly State[] | null
  /** 32 bytes that the solver could not foresee when it signed; core/seed.ts resolves sources of them. */
  readonly seed: Uint8Array
  /** Overrides the request's `verificationRatio`. */
  readonly ask?: Ask
  /** Look up every state that the output claims (`all`, default), or the sampled ones (`sampled`). */
  readonly outputCheck?: 'all' | 'sampled'
  /** Asks the solver for checkpoints; without it a sequential task is replayed. */
  readonly openings?: OpenCheckpoints
  readonly executor?: Executor<State>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

/** How a verdict was reached: all that is needed to derive it again, and what a receipt records. */
export interface Check {
  readonly verifier: 'lazy' | 'adversarial' | 'baseline'
  readonly states: number
  readonly samples: number
  /** Ascending; derived from the seed and the commitment. */
  readonly indices: readonly number[]
  readonly outputBinding: OutputBinding | null
  /** For a sampled state: false positives of this very proof (0 where states are compared), and guesses. */
  readonly falsePositiveRate: number
  readonly guessProbability: number
  /** What the samples are worth against `faked`; null where no share was stated. */
  readonly confidence: number | null
  readonly faked: number | null
}

export interface Verification {
  readonly response: VerifierResponse
  readonly check: Check
}

type Lazy<Input, State, Output> = {
  readonly task: Task<Input, State, Output>
  readonly input: Input
  readonly opened: OpenedResponse<State>
  readonly options: VerifyOptions<State>
}

/** Verifier L: samples states, recomputes them, and looks them up in the proof and in what was handed over. */
export async function verifyLazy<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  options: VerifyOptions<State>,
): Promise<Verification> {
  const input = request.solverRequest.solverInput
  ;(task.input.assert as (value: unknown) => void)(input)
  const states = task.states(input)
  const opened = await openResponse(task, request, options)
  if (!opened.ok) return rejected('lazy', states, evidenceOf(opened))
  const passing = passingRates(task, opened.value)
  const ask = options.ask ?? { verificationRatio: request.verificationRatio }
  const samples = samplesFor(ask, { states, ...passing })
  const seed = challengeSeed({ seed: options.seed, commitmentDigest: opened.value.commitmentDigest })
  const indices = sampleIndices(seed, { population: states, size: samples })
  const faked = 'faked' in ask ? ask.faked : null
  const check: Check = {
    verifier: 'lazy',
    states,
    samples,
    indices,
    outputBinding: opened.value.outputBinding,
    ...passing,
    confidence: faked === null ? null : confidenceReached({ states, samples, fakedShare: faked, ...passing }),
    faked,
  }
  const lazy = { task, input, opened: opened.value, options }
  const evidence = checkClaims(lazy, indices) ?? (await checkSamples(lazy, indices))
  return { response: { isVerified: evidence === null, countItems: samples, evidence }, check }
}

/**
 * Verifier A: with probability `verificationRatio`, decided by the seed, runs everything again and compares
 * the output. Its guarantee holds over many requests, not for each: see SPEX, end of section 5.2.2.
 */
export async function verifyAdversarial<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  options: VerifyOptions<State>,
): Promise<Verification> {
  return rerun('adversarial', task, { request, options, ratio: request.verificationRatio })
}

/** Runs everything again and compares the output. */
export async function verifyBaseline<Input, State, Output>(
  task: Task<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
  options: VerifyOptions<State>,
): Promise<Verification> {
  return rerun('baseline', task, { request, options, ratio: 1 })
}

async function rerun<Input, State, Output>(
  verifier: 'adversarial' | 'baseline',
  task: Task<Input, State, Output>,
  {
    request,
    options,
    ratio,
  }: {
    readonly request: VerifierRequest<Input, Output>
    readonly options: VerifyOptions<State>
    readonly ratio: number
  },
): Promise<Verification> {
  const input = request.solverRequest.solverInput
  ;(task.input.assert as (value: unknown) => void)(input)
  const states = task.states(input)
  const opened = await openResponse(task, request, options)
  if (!opened.ok) return rejected(verifier, states, evidenceOf(opened))
  const seed = challengeSeed({ seed: options.seed, commitmentDigest: opened.value.commitmentDigest })
  const chosen = isChosen(seed, ratio)
  const evidence = chosen ? await compareRun({ task, input, opened: opened.value, options }, request) : null
  const samples = chosen ? states : 0
  const check: Check = {
    ...emptyCheck(verifier, states),
    samples,
    outputBinding: opened.value.outputBinding,
    confidence: ratio,
    faked: 0,
  }
  return { response: { isVerified: evidence === null, countItems: samples, evidence }, check }
}

/** True with probability `ratio`, derived from the seed so that anybody can see whether it was this one's turn. */
export function isChosen(seed: Uint8Array, ratio: number): boolean {
  const resolution = 2 ** 52
  return uniformInteger(randomStream(seed, 'adversarial'), resolution) < ratio * resolution
}

async function compareRun<Input, State, Output>(
  { task, input, options }: Lazy<Input, State, Output>,
  request: VerifierRequest<Input, Output>,
): Promise<Evidence | null> {
  const states: State[] = []
  const total = task.states(input)
  for await (const state of computeStates({ task, input, options }, { from: 0, to: total })) {
    states.push(state)
    if (states.length % SEGMENT_STATES === 0)
      options.onProgress?.({ phase: 'verify', done: states.length, total })
  }
  const exact = task.state.alternatives === 1 && task.state.quorum === task.state.slots
  for (const [index, claimed] of task.output.claims(request.solverOutput, input)) {
    const computed = states[index] as State
    if (!acceptsState(task.state, computed, claimed)) {
      return stateEvidence('sampling/output-mismatch', task, { index, computed, handed: claimed })
    }
  }
  if (!exact && task.output.complete) return null
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

/** The rates that limit what a sampled, faked state is worth to the verifier. */
function passingRates<Input, State, Output>(task: Task<Input, State, Output>, opened: OpenedResponse<State>) {
  // States that were handed over are compared directly, so no false positive of the proof can save a fake.
  const compared = opened.claimed.size === opened.states
  return {
    falsePositiveRate: compared ? 0 : passingRate(task.state, opened.set.falsePositiveRate),
    guessProbability: task.state.guessProbability,
  }
}

/** Every state that the output (or the handed-over list) claims must be in the proof: no computing needed. */
function checkClaims<Input, State, Output>(
  { task, opened, options }: Lazy<Input, State, Output>,
  indices: readonly number[],
): Evidence | null {
  const numbers = options.outputCheck === 'sampled' ? indices : [...opened.claimed.keys()]
  for (const part of splitIndices(numbers, SEGMENT_STATES)) {
    const states: IndexedState<State>[] = []
    for (const index of part as readonly number[]) {
      const state = opened.claimed.get(index)
      if (state !== undefined) states.push({ index, state })
    }
    const found = lookUp(task.state, states, { ...opened, as: 'claimed' })
    // A solver's own state must hit in every slot: its proof has no false negatives.
    const missing = found.findIndex(({ slotsHit }) => slotsHit < task.state.slots)
    if (missing >= 0) {
      const { index, state } = states[missing] as IndexedState<State>
      return {
        code: 'sampling/output-row',
        message: `state ${index} as handed over is not in the proof that was signed with it: the output was altered`,
        stateIndex: index,
        expected: { slotsHit: task.state.slots },
        found: { slotsHit: found[missing]?.slotsHit ?? 0, state: describeState(task.state.encode(state)) },
      }
    }
  }
  return null
}

async function checkSamples<Input, State, Output>(
  lazy: Lazy<Input, State, Output>,
  indices: readonly number[],
): Promise<Evidence | null> {
  const { task, opened, options } = lazy
  const total = indices.length
  let done = 0
  try {
    for await (const { index, computed, handed } of sampledStates(lazy, indices)) {
      const evidence = checkState(task, opened, { index, computed, handed })
      if (evidence) return evidence
      done += 1
      options.onProgress?.({ phase: 'verify', done, total })
    }
  } catch (error) {
    if (error instanceof AssayError && error.code === 'sampling/opening') {
      return evidenceOf({ ok: false, ...error.toJSON() } satisfies Rejection)
    }
    throw error
  }
  return null
}

interface SampledState<State> {
  readonly index: number
  readonly computed: State
  /** The solver's own, where it was handed over or opened. */
  readonly handed: State | undefined
}

/** One sampled state against the solver's own and against the proof. */
export function checkState<Input, State, Output>(
  task: Task<Input, State, Output>,
  { set, block }: Pick<OpenedResponse<State>, 'set' | 'block'>,
  { index, computed, handed }: SampledState<State>,
): Evidence | null {
  if (handed !== undefined && !acceptsState(task.state, computed, handed)) {
    return stateEvidence('sampling/state-mismatch', task, { index, computed, handed })
  }
  const [found] = lookUp(task.state, [{ index, state: computed }], { set, block, as: 'computed' })
  if (found?.passes) return null
  return {
    code: 'sampling/state-missing',
    message: `state ${index}, recomputed, is not in the proof`,
    stateIndex: index,
    expected: { state: describeState(task.state.encode(computed)), slotsHit: task.state.quorum },
    found: { slotsHit: found?.slotsHit ?? 0 },
  }
}

function stateEvidence<Input, State, Output>(
  code: 'sampling/state-mismatch' | 'sampling/output-mismatch',
  task: Task<Input, State, Output>,
  { index, computed, handed }: { readonly index: number; readonly computed: State; readonly handed: State },
): Evidence {
  return {
    code,
    message: `state ${index}, recomputed, differs from the one handed over`,
    stateIndex: index,
    expected: { state: describeState(task.state.encode(computed)) },
    found: { state: describeState(task.state.encode(handed)) },
  }
}

/** The sampled states: single steps where the states before them are at hand, else computed by the task. */
async function* sampledStates<Input, State, Output>(
  lazy: Lazy<Input, State, Output>,
  indices: readonly number[],
): AsyncGenerator<SampledState<State>> {
  const { task, input, opened } = lazy
  const known = await statesAtHand(lazy, indices)
  if (task.step && known) {
    for (const index of indices) {
      const computed = await task.step(known.get(index - 1), input, index)
      yield { index, computed, handed: known.get(index) }
    }
    return
  }
  let position = 0
  for await (const computed of computeStates(lazy, indices)) {
    const index = indices[position] as number
    position += 1
    yield { index, computed, handed: opened.claimed.get(index) }
  }
}

/** For a sequential task: the solver's states around each sample, handed over or opened on demand. */
async function statesAtHand<Input, State, Output>(
  { task, opened, options }: Lazy<Input, State, Output>,
  indices: readonly number[],
): Promise<ReadonlyMap<number, State> | null> {
  if (!task.step || indices.length === 0) return null
  if (opened.claimed.size === opened.states) return opened.claimed
  if (!opened.checkpointRoot || !options.openings) return null
  const touched = touchedStates(indices)
  let openings: CheckpointOpenings
  try {
    openings = await options.openings(touched)
  } catch (cause) {
    throw new AssayError('sampling/opening', 'the solver did not open the checkpoints asked for', { cause })
  }
  const read = attempt(() =>
    readOpenings(task.state, openings, {
      root: opened.checkpointRoot as Uint8Array,
      size: opened.states,
      indices: touched,
    }),
  )
  if (!read.ok) throw new AssayError('sampling/opening', read.message, { detail: read.detail })
  return read.value
}

async function* computeStates<Input, State, Output>(
  { task, input, options }: Pick<Lazy<Input, State, Output>, 'task' | 'input' | 'options'>,
  indices: { readonly from: number; readonly to: number } | readonly number[],
): AsyncGenerator<State> {
  const executor = options.executor ?? localExecutor(task, input)
  for await (const segment of executor.run(indices, options.signal ? { signal: options.signal } : {})) {
    yield* segment.states
  }
}

function emptyCheck(verifier: Check['verifier'], states: number): Check {
  return {
    verifier,
    states,
    samples: 0,
    indices: [],
    outputBinding: null,
    falsePositiveRate: 0,
    guessProbability: 0,
    confidence: null,
    faked: null,
  }
}

function rejected(verifier: Check['verifier'], states: number, evidence: Evidence): Verification {
  return { response: { isVerified: false, countItems: 0, evidence }, check: emptyCheck(verifier, states) }
}
