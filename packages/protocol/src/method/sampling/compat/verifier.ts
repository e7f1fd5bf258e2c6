/**
 * The verifiers of the published protocol (SPEX, Algorithms 2 and 3), with its weaknesses.
 *
 * What they trust and should not: the filter's own size and hash count, `countItems`, a probe of the false
 * positive rate with slack, an output that nobody looks at, a state wherever it stands in the run. Use the
 * `assay` profile against anybody who might cheat on purpose. Ours are only the caps that keep a hostile
 * filter from stalling the process.
 */
import { hasItem, loadPublishedBloom, probeFalsePositiveRate } from '../../../core/bloom.ts'
import { equalBytes, fromBase64 } from '../../../core/bytes.ts'
import { AssayError, attempt } from '../../../core/errors.ts'
import { hashInteger } from '../../../core/hash-int.ts'
import { randomStream, sampleIndices, uniformInteger } from '../../../core/sampling.ts'
import type { Task } from '../../../task/task.ts'
import { describeState, type Evidence, evidenceOf } from '../evidence.ts'
import { type Executor, localExecutor, type RunOptions } from '../executor.ts'
import { parseSolverProof, type VerifierRequest, type VerifierResponse } from '../messages.ts'
import { isChosen } from '../verifier-rerun.ts'

/** Trials and slack of the published probe. */
const PROBE_TRIALS = 100_000
const PROBE_SLACK = 0.01

export interface CompatVerifyOptions {
  /** 32 bytes. The published verifier uses its local random source, which nobody can audit. */
  readonly seed: Uint8Array
  readonly executor?: Executor<bigint | number>
  readonly signal?: AbortSignal
}

/** Verifier L of the published protocol. */
export async function verifyLazyCompat<Input, Output>(
  task: Task<Input, bigint | number, Output>,
  request: VerifierRequest<Input, Output>,
  options: CompatVerifyOptions,
): Promise<VerifierResponse> {
  const { solverRequest, verificationRatio } = request
  const input = solverRequest.solverInput
  const loaded = attempt(() => {
    const proof = parseSolverProof(request.solverProof)
    return { proof, filter: loadPublishedBloom(fromBase64(proof.bloomFilter)) }
  })
  if (!loaded.ok) return refuse(evidenceOf(loaded))
  const { proof, filter } = loaded.value
  const stream = randomStream(options.seed, 'probe')
  const randomInteger = () => BigInt(uniformInteger(stream, 2 ** 32 - 1) + 1)
  const estimated = probeFalsePositiveRate(filter, { trials: PROBE_TRIALS, randomInteger })
  if (estimated > solverRequest.falsePositiveRate + PROBE_SLACK) {
    return refuse({
      code: 'sampling/false-positive-rate',
      message: `the probe found a false positive rate of ${estimated}`,
      stateIndex: null,
      expected: solverRequest.falsePositiveRate + PROBE_SLACK,
      found: estimated,
    })
  }
  // As published: the sample follows from what the solver declares, so that 0 items mean no sample.
  const population = task.states(input)
  const size = Math.min(population, Math.ceil(verificationRatio * proof.countItems))
  const indices = sampleIndices(options.seed, { population, size })
  let position = 0
  for await (const state of computed(task, input, { indices, options })) {
    const index = indices[position] as number
    position += 1
    if (hasItem(filter, hashInteger(state))) continue
    return refuse(
      {
        code: 'sampling/state-missing',
        message: `state ${index}, recomputed, is not in the filter`,
        stateIndex: index,
        expected: { state: describeState(task.state.encode(state)) },
        found: { inFilter: false },
      },
      position,
    )
  }
  return { isVerified: true, countItems: size, evidence: null }
}

/** Verifier A of the published protocol: with probability `verificationRatio`, runs everything again. */
export async function verifyAdversarialCompat<Input, Output>(
  task: Task<Input, bigint | number, Output>,
  request: VerifierRequest<Input, Output>,
  options: CompatVerifyOptions,
): Promise<VerifierResponse> {
  if (!isChosen(options.seed, request.verificationRatio)) {
    return { isVerified: true, countItems: 0, evidence: null }
  }
  return verifyBaselineCompat(task, request, options)
}

/** Runs everything again and compares the output (SPEX, section 5.1). */
export async function verifyBaselineCompat<Input, Output>(
  task: Task<Input, bigint | number, Output>,
  request: VerifierRequest<Input, Output>,
  options: CompatVerifyOptions,
): Promise<VerifierResponse> {
  const input = request.solverRequest.solverInput
  const total = task.states(input)
  const states: (bigint | number)[] = []
  for await (const state of computed(task, input, { indices: { from: 0, to: total }, options }))
    states.push(state)
  const expected = task.output.encode(task.output.derive(states, input))
  const found = attempt(() => task.output.encode(request.solverOutput))
  if (!found.ok) return refuse(evidenceOf(found), total)
  if (equalBytes(expected, found.value)) return { isVerified: true, countItems: total, evidence: null }
  return refuse(
    {
      code: 'sampling/output-mismatch',
      message: 'a full re-execution gives another output than the one handed over',
      stateIndex: null,
      expected: describeState(expected),
      found: describeState(found.value),
    },
    total,
  )
}

async function* computed<Input, Output>(
  task: Task<Input, bigint | number, Output>,
  input: Input,
  {
    indices,
    options,
  }: {
    readonly indices: { readonly from: number; readonly to: number } | readonly number[]
    readonly options: CompatVerifyOptions
  },
): AsyncGenerator<bigint | number> {
  const executor = options.executor ?? localExecutor(task, input)
  const run: RunOptions = options.signal ? { signal: options.signal } : {}
  for await (const segment of executor.run(indices, run)) {
    for (const state of segment.states) {
      if (typeof state !== 'bigint' && typeof state !== 'number') {
        throw new AssayError(
          'sampling/config',
          'expected a task with integer states: only those have a published format',
        )
      }
      yield state
    }
  }
}

function refuse(evidence: Evidence, countItems = 0): VerifierResponse {
  return { isVerified: false, countItems, evidence }
}
