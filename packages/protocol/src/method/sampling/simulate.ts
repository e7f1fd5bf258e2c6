/**
 * Cheating for real: a lazy solver against the real prover and verifier, many times, so that the measured
 * detection rate can be set beside the formula.
 *
 * The task hands over nothing but a digest of its states, so that detection rests on the proof alone, false
 * positives included, as in the paper.
 */
import * as z from 'zod/mini'
import { fromBase64, u64be } from '../../core/bytes.ts'
import { type Digest, hashFields, sha256 } from '../../core/digest.ts'
import { binomialInterval, type Interval } from '../../core/interval.ts'
import type { KeyPair } from '../../core/keys.ts'
import { detectionProbability } from '../../core/statistics.ts'
import { integerState } from '../../state/integer.ts'
import { valueCodec } from '../../state/value.ts'
import { defineTask } from '../../task/define.ts'
import { derivedFrom } from '../../task/output.ts'
import { fakedIndices, lazyTask } from './cheat.ts'
import { checkAborted } from './executor.ts'
import { loadItemSet, type ProofKind, proofObject } from './proof.ts'
import { solve } from './prover.ts'
import { verifyLazy } from './verifier.ts'

/** Confidence of the interval around the measured rate. */
export const INTERVAL_CONFIDENCE = 0.999

export interface SimulateOptions {
  readonly states: number
  /** Count of faked states. */
  readonly faked: number
  readonly samples: number
  readonly falsePositiveRate: number
  readonly trials: number
  /** 32 bytes: the same seed gives the same result. */
  readonly seed: Uint8Array
  readonly key: KeyPair
  readonly proof?: ProofKind
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number) => void
}

export interface Simulation {
  readonly caught: number
  readonly trials: number
  readonly measured: number
  /** Clopper-Pearson, at `INTERVAL_CONFIDENCE`. */
  readonly interval: Interval
  /** Mean false positive rate of the proofs that were made, and what the formula gives with it. */
  readonly falsePositiveRate: number
  readonly expected: number
  readonly agrees: boolean
}

interface SimulatedInput {
  readonly seed: Uint8Array
  readonly states: number
}

const input = valueCodec<SimulatedInput>({
  name: 'simulated-input',
  schema: z.strictObject({ seed: z.custom<Uint8Array>((v) => v instanceof Uint8Array), states: z.int() }),
})

/** State i is the i-th number of a sequence that nobody knows without hashing. */
const simulatedTask = defineTask({
  name: 'simulated',
  version: '1',
  shape: 'parallel',
  input,
  state: integerState(),
  count: ({ states }: SimulatedInput) => states,
  compute: ({ seed }: SimulatedInput, index: number) => numberAt(seed, index),
  output: derivedFrom(valueCodec({ name: 'simulated-output', schema: z.string() }), () => 'done'),
})

export async function simulate(options: SimulateOptions): Promise<Simulation> {
  const { states, faked, samples, trials } = options
  let caught = 0
  let rates = 0
  for (let trial = 0; trial < trials; trial++) {
    checkAborted(options.signal)
    const outcome = await runTrial(options, trial)
    if (outcome.caught) caught += 1
    rates += outcome.falsePositiveRate
    options.onProgress?.(trial + 1)
  }
  const falsePositiveRate = rates / trials
  const interval = binomialInterval({ successes: caught, trials, confidence: INTERVAL_CONFIDENCE })
  const expected = detectionProbability({ states, faked, samples, falsePositiveRate, guessProbability: 0 })
  const agrees = interval.lower <= expected && expected <= interval.upper
  return { caught, trials, measured: caught / trials, interval, falsePositiveRate, expected, agrees }
}

async function runTrial(options: SimulateOptions, trial: number) {
  const { states, faked, samples, falsePositiveRate, key, proof } = options
  const derive = (label: string): Digest =>
    hashFields('assay/simulate/v1', [options.seed, u64be(trial), new TextEncoder().encode(label)])
  const job = { requestId: derive('request'), nonce: derive('nonce') }
  const request = { solverInput: { seed: derive('input'), states }, falsePositiveRate }
  const madeUp = derive('made up')
  const cheat = lazyTask(simulatedTask, fakedIndices(derive('faked'), { states, faked }), (_, index) =>
    numberAt(madeUp, index),
  )
  const solved = await solve(cheat, request, { job, key, handOver: false, ...(proof ? { proof } : {}) })
  const { response } = await verifyLazy(
    simulatedTask,
    { solverRequest: request, ...solved.response, verificationRatio: 0 },
    { job, commitment: solved.commitment, seed: derive('challenge'), ask: { samples }, allowUnbound: true },
  )
  const object = proofObject.decode(fromBase64(solved.response.solverProof.bloomFilter))
  return {
    caught: !response.isVerified,
    falsePositiveRate: loadItemSet(object, { items: states, falsePositiveRate }).falsePositiveRate,
  }
}

function numberAt(seed: Uint8Array, index: number): bigint {
  const bytes = new Uint8Array(40)
  bytes.set(seed)
  bytes.set(u64be(index), 32)
  return new DataView(sha256(bytes).buffer).getBigInt64(0)
}
