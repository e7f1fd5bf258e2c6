/**
 * The lazy verifier of SPEX, section 5.2.2 (Algorithm 2), in the hardened profile. verifier-rerun.ts has the others.
 *
 * Threat: everything that came from the solver is hostile: response, proof, states, openings, commitment.
 * Whatever is wrong with it is a rejection with evidence. Throwing means that the caller misused the
 * function: an input or an ask out of range, a cancelled run, a task that fails on its own input.
 */
import { attempt, reject, type Verdict } from '../../core/errors.ts'
import type { Job, SignedExecution } from '../../core/poe.ts'
import { sampleIndices } from '../../core/sampling.ts'
import { challengeSeed } from '../../core/seed.ts'
import { confidenceReached } from '../../core/statistics.ts'
import type { Task } from '../../task/task.ts'
import { type CheckpointOpenings, type OpenCheckpoints, readOpenings, touchedStates } from './checkpoints.ts'
import type { OutputBinding } from './claims.ts'
import { type Ask, type Passing, samplesFor } from './config.ts'
import { describeState, type Evidence, evidenceOf } from './evidence.ts'
import {
  checkAborted,
  checkComputed,
  countIndices,
  type Executor,
  type IndexRange,
  localExecutor,
  nextTurn,
  type Progress,
  SEGMENT_STATES,
  splitIndices,
} from './executor.ts'
import { acceptsState, type IndexedState, lookUp } from './lookup.ts'
import type { VerifierRequest, VerifierResponse } from './messages.ts'
import { type OpenedResponse, openResponse } from './response.ts'
import { passingRate } from './security.ts'
import { checkState, isExact, stateEvidence, stepFrom } from './steps.ts'

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
  /** Accept outputs that nothing ties to the proved states; a full re-execution alone then catches altered ones. */
  readonly allowUnbound?: boolean
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

/** What the parts of a check share. */
export type LazyCheck<Input, State, Output> = {
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
  const unbound = unboundEvidence(opened.value, options)
  if (unbound) return rejected('lazy', states, unbound)
  const passing = passingRates(task, opened.value)
  const ask = options.ask ?? { verificationRatio: request.verificationRatio }
  const planned = planSamples(ask, { states, ...passing, allowUnbound: options.allowUnbound ?? false })
  if (!planned.ok) return rejected('lazy', states, evidenceOf(planned))
  const samples = planned.value
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

/** An output that nothing ties to the proved states is refused, unless the caller knows what it does. */
function unboundEvidence<State>(
  { outputBinding }: OpenedResponse<State>,
  { allowUnbound = false }: VerifyOptions<State>,
): Evidence | null {
  if (outputBinding !== 'unbound' || allowUnbound) return null
  return evidenceOf(
    reject(
      'sampling/output-unbound',
      'nothing ties the output to the proved states: none were handed over with it',
    ),
  )
}

/** Where the proof's own rate keeps a confidence out of reach, it is the solver who withheld its states. */
function planSamples(
  ask: Ask,
  { allowUnbound, ...size }: Passing & { readonly states: number; readonly allowUnbound: boolean },
): Verdict<number> {
  if (size.falsePositiveRate === 0 || allowUnbound) return { ok: true, value: samplesFor(ask, size) }
  samplesFor(ask, { ...size, falsePositiveRate: 0 })
  return attempt(() => samplesFor(ask, size))
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
export function checkClaims<Input, State, Output>(
  { task, opened, options }: LazyCheck<Input, State, Output>,
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
  lazy: LazyCheck<Input, State, Output>,
  indices: readonly number[],
): Promise<Evidence | null> {
  const opened = await openSteps(lazy, indices)
  if (!opened.ok) return evidenceOf(opened)
  return opened.value === null ? replaySamples(lazy, indices) : checkSteps(lazy, indices, opened.value)
}

/** States from scratch: a parallel task computes the sampled ones, a chain is replayed. */
async function replaySamples<Input, State, Output>(
  lazy: LazyCheck<Input, State, Output>,
  indices: readonly number[],
): Promise<Evidence | null> {
  const { task, opened, options } = lazy
  let done = 0
  for await (const computed of computeStates(lazy, indices)) {
    const index = indices[done] as number
    const evidence = checkState(task, opened, { index, computed, handed: opened.claimed.get(index) })
    if (evidence) return evidence
    done += 1
    options.onProgress?.({ phase: 'verify', done, total: indices.length })
  }
  return null
}

/** Single steps, each from the solver's own state before it. */
async function checkSteps<Input, State, Output>(
  { task, input, opened, options }: LazyCheck<Input, State, Output>,
  indices: readonly number[],
  known: ReadonlyMap<number, State>,
): Promise<Evidence | null> {
  for (const [index, claimed] of opened.claimed) {
    const own = known.get(index)
    if (own !== undefined && !acceptsState(task.state, own, claimed)) {
      return stateEvidence('sampling/output-mismatch', task, { index, computed: own, handed: claimed })
    }
  }
  for (const [done, index] of indices.entries()) {
    checkAborted(options.signal)
    const stepped = await stepFrom(task, input, { previous: known.get(index - 1), index })
    if (!stepped.ok) return { ...evidenceOf(stepped), stateIndex: index }
    const evidence = checkState(task, opened, { index, computed: stepped.value, handed: known.get(index) })
    if (evidence) return evidence
    options.onProgress?.({ phase: 'verify', done: done + 1, total: indices.length })
    if (done % SEGMENT_STATES === SEGMENT_STATES - 1) await nextTurn()
  }
  return null
}

/** The solver's states around each sample, handed over or opened on demand; null where the chain is replayed. */
async function openSteps<Input, State, Output>(
  { task, opened, options }: LazyCheck<Input, State, Output>,
  indices: readonly number[],
): Promise<Verdict<ReadonlyMap<number, State> | null>> {
  const none = { ok: true, value: null } as const
  if (!task.step || indices.length === 0 || !isExact(task.state)) return none
  if (opened.claimed.size === opened.states) return { ok: true, value: opened.claimed }
  const { checkpointRoot: root, states: size, claimed } = opened
  if (!root || !options.openings) return none
  // What the output claims is opened too, so that it is compared with what was committed.
  const touched = touchedStates(indices, [...claimed.keys()])
  let openings: CheckpointOpenings
  try {
    openings = await options.openings(touched)
  } catch (error) {
    checkAborted(options.signal)
    return reject(
      'sampling/opening',
      `the solver did not open the checkpoints asked for: ${messageOf(error)}`,
    )
  }
  return attempt(() => readOpenings(task.state, openings, { root, size, indices: touched }))
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** States as an executor computes them; each that was asked for, or an error. */
export async function* computeStates<Input, State, Output>(
  { task, input, options }: Pick<LazyCheck<Input, State, Output>, 'task' | 'input' | 'options'>,
  indices: IndexRange | readonly number[],
): AsyncGenerator<State> {
  const executor = options.executor ?? localExecutor(task, input)
  let computed = 0
  for await (const segment of executor.run(indices, options.signal ? { signal: options.signal } : {})) {
    computed += segment.states.length
    yield* segment.states
  }
  checkComputed(computed, countIndices(indices))
}

export function emptyCheck(verifier: Check['verifier'], states: number): Check {
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

export function rejected(verifier: Check['verifier'], states: number, evidence: Evidence): Verification {
  return { response: { isVerified: false, countItems: 0, evidence }, check: emptyCheck(verifier, states) }
}
