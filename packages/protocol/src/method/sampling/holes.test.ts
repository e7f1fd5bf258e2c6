/**
 * The holes of the published protocol, each attacked: the attack must succeed against `compat`, where the
 * published protocol has the hole, and fail against `assay`. docs/threats.md has the same numbers.
 */
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import {
  bloomFalsePositiveRate,
  bloomParameters,
  createBloom,
  insertItem,
  saveBloom,
} from '../../core/bloom.ts'
import { toBase64 } from '../../core/bytes.ts'
import { hashInteger } from '../../core/hash-int.ts'
import { commitExecution } from '../../core/poe.ts'
import { sampleIndices } from '../../core/sampling.ts'
import { challengeSeed } from '../../core/seed.ts'
import { sampleSize } from '../../core/statistics.ts'
import { arrayState, arraysAgree, hashArray } from '../../state/array.ts'
import { randomVantagePoints } from '../../state/embedding-points.ts'
import { embeddingState } from '../../state/embedding-state.ts'
import { hashIntegerArray, integerState } from '../../state/integer.ts'
import { valueCodec, valueState } from '../../state/value.ts'
import { defineTask } from '../../task/define.ts'
import type { Task } from '../../task/task.ts'
import { lazyTask, solveAdversarially } from './cheat.ts'
import { proveIntegers, solveCompat } from './compat/prover.ts'
import { verifyLazyCompat } from './compat/verifier.ts'
import { acceptsState } from './lookup.ts'
import type { SolverProof, VerifierRequest } from './messages.ts'
import type { ProofObject } from './proof.ts'
import { type ExecutedRun, execute, respond, solve } from './prover.ts'
import {
  bytes32,
  chain,
  challenge,
  check,
  cubeSum,
  cubes,
  job,
  otherKey,
  range,
  requestOf,
  solverKey,
} from './testing/fixtures.ts'

type Integer = bigint | number
const request = requestOf(range(1000))
const ask = { confidence: 0.99, faked: 0.05 }

/** The published lazy verifier over any proof, asked to look at everything. */
async function compatAccepts<Input>(
  task: Task<Input, Integer, readonly Integer[]>,
  solverInput: Input,
  { solverProof, output = [] }: { readonly solverProof: SolverProof; readonly output?: readonly Integer[] },
): Promise<boolean> {
  const verifierRequest: VerifierRequest<Input, readonly Integer[]> = {
    solverRequest: requestOf(solverInput),
    solverOutput: output,
    solverProof,
    verificationRatio: 1,
  }
  return (await verifyLazyCompat(task, verifierRequest, { seed: challenge })).isVerified
}

/** The hardened lazy verifier over a run whose proof was swapped for `proof`, honestly signed. */
async function assayRejects(change: (proof: ProofObject) => ProofObject): Promise<string | undefined> {
  const options = { job, key: solverKey, proof: 'bloom' as const, handOver: false }
  const nothing = lazyTask(cubeSum, new Set(range(1000).map((i) => i - 1)), (_, index) => -1n - BigInt(index))
  const run = await execute(nothing, request, options)
  const forged: ExecutedRun<Integer> = { ...run, proof: change(run.proof) }
  const solution = await respond(cubeSum, { run: forged, output: 5n }, options)
  const { response } = await check(cubeSum, request, { solution, ask })
  expect(response.isVerified).toBe(false)
  return response.evidence?.code
}

function filterBytes(hashes: number, bits: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + bits.length)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(hashes), true)
  bytes.set(bits, 8)
  return bytes
}

describe("hole 1: k and the length are the prover's to choose", () => {
  const all = filterBytes(0, new Uint8Array(16))

  it('a filter with k = 0 has every state; the published probe does see it, so the attack needs rate 1', async () => {
    const solverProof = { bloomFilter: toBase64(all), countItems: 1000 }
    const response = await verifyLazyCompat(
      cubes,
      { solverRequest: requestOf(range(1000), 1), solverOutput: [], solverProof, verificationRatio: 1 },
      { seed: challenge },
    )
    expect(response.isVerified).toBe(true)
  })

  it('assay recomputes both and refuses k = 0, and k = 2^30 without a look-up', async () => {
    const { bytes } = bloomParameters(1000, 0.01)
    expect(await assayRejects((proof) => ({ ...proof, bytes: all }))).toBe('bloom/parameters')
    for (const k of [0, 1, 5, 7, 2 ** 30]) {
      expect(
        await assayRejects((proof) => ({ ...proof, bytes: filterBytes(k, new Uint8Array(bytes)) })),
      ).toBe('bloom/parameters')
    }
  })
})

describe('hole 2: a flooded filter', () => {
  it('that the prover sized for the flood passes the published probe', async () => {
    const guesses = range(1000).flatMap((x) =>
      Array.from({ length: 20 }, (_, i) => BigInt(x) ** 3n + BigInt(i)),
    )
    const { bloomFilter } = proveIntegers(guesses, 0.01)
    expect(await compatAccepts(cubes, range(1000), { solverProof: { bloomFilter, countItems: 1000 } })).toBe(
      true,
    )
  })

  it('is refused by its size, or by its ones', async () => {
    const big = createBloom(20_000, 0.01)
    expect(await assayRejects((proof) => ({ ...proof, bytes: saveBloom(big) }))).toBe('sampling/proof')
    const flooded = createBloom(1000, 0.01)
    for (let i = 0; i < 20_000; i++) insertItem(flooded, hashInteger(i))
    expect(await assayRejects((proof) => ({ ...proof, bytes: saveBloom(flooded) }))).toBe('bloom/saturated')
  })
})

describe('hole 3: the rate is probed with slack', () => {
  it('a filter with nearly twice the rate asked for passes the published probe', async () => {
    const filter = createBloom(1000, 0.01)
    for (const x of range(1000)) insertItem(filter, hashInteger(BigInt(x) ** 3n + 7n))
    for (let i = 0; i < 80; i++) insertItem(filter, hashInteger(-1 - i))
    expect(bloomFalsePositiveRate(filter)).toBeGreaterThan(0.013)
    const solverProof = { bloomFilter: toBase64(saveBloom(filter)), countItems: 1000 }
    expect(await compatAccepts(cubes, range(1000), { solverProof })).toBe(true)
    expect(await assayRejects((proof) => ({ ...proof, bytes: saveBloom(filter) }))).toBe('bloom/saturated')
  })
})

describe('hole 4: countItems is self-declared', () => {
  it('0 items mean no sample in the published protocol', async () => {
    const { bloomFilter } = proveIntegers([1n], 0.01)
    expect(await compatAccepts(cubes, range(1000), { solverProof: { bloomFilter, countItems: 0 } })).toBe(
      true,
    )
  })

  it('assay takes the number of states from task and input', async () => {
    expect(await assayRejects((proof) => ({ ...proof, items: 1 }))).toBe('sampling/proof')
  })
})

describe('hole 5: states are not bound to their position', () => {
  const input = range(1000)
  const backwards = { ...cubes, open: (xs: number[]) => cubes.open([...xs].reverse()) }

  it('a permutation passes the published verifier', async () => {
    const { solverProof, solverOutput } = await solveCompat(backwards, request)
    expect(await compatAccepts(cubes, input, { solverProof, output: solverOutput })).toBe(true)
  })

  it('and fails the hardened one, with either kind of proof', async () => {
    for (const proof of ['bloom', 'fingerprint'] as const) {
      const solution = await solve({ ...cubeSum, open: backwards.open }, request, {
        job,
        key: solverKey,
        proof,
        handOver: false,
      })
      expect((await check(cubeSum, request, { solution, ask })).response.isVerified).toBe(false)
    }
  })
})

describe('hole 6: states of small domain can be guessed and flooded', () => {
  const labels = (g: number) =>
    defineTask({
      name: 'labels',
      version: '1',
      shape: 'parallel',
      input: valueCodec<number[]>({ name: 'numbers', schema: z.array(z.int()) }),
      state: integerState({ guessProbability: g }),
      count: (input: number[]) => input.length,
      compute: (input: number[], index: number): Integer => (input[index] as number) % 10,
    })

  it('ten digits in a filter answer for any batch', async () => {
    const { bloomFilter } = proveIntegers(
      range(10).map((i) => BigInt(i - 1)),
      0.01,
    )
    expect(
      await compatAccepts(labels(0), range(1000), { solverProof: { bloomFilter, countItems: 1000 } }),
    ).toBe(true)
  })

  it('assay binds each to its place, so all guesses together are a flood', async () => {
    const solution = await solve(
      lazyTask(labels(0.1), new Set(range(999)), () => 3),
      request,
      { job, key: solverKey },
    )
    expect((await check(labels(0.1), request, { solution, ask })).response.isVerified).toBe(false)
  })

  it('ten vantage points give 90 values in all; assay accounts for guesses and refuses what cannot be reached', async () => {
    const vantagePoints = randomVantagePoints(bytes32('vantage'), { count: 10, dimensions: 5 })
    const kind = embeddingState({ dimensions: 5, vantagePoints, similarity: 0.8 })
    expect(kind.slots).toBe(45)
    expect(kind.guessProbability).toBeGreaterThan(0)
    const loose = embeddingState({ dimensions: 5, vantagePoints, similarity: 0.5 })
    expect(loose.guessProbability).toBeGreaterThan(0.1)
    expect(loose.guessProbability).toBeGreaterThan(kind.guessProbability)
    const guessable = defineTask({
      name: 'coin',
      version: '1',
      shape: 'indivisible',
      input: valueCodec<number>({ name: 'n' }),
      state: valueState<number>({ name: 'coin', guessProbability: 0.5 }),
      run: (n: number) => n % 2,
    })
    const one = requestOf(4)
    const solution = await solve(guessable, one, { job, key: solverKey })
    await expect(check(guessable, one, { solution, ask })).rejects.toMatchObject({
      code: 'statistics/unreachable',
    })
  })
})

describe('hole 7: arrays are hashed by their sum', () => {
  it('[1,2,3], [6] and [3,2,1] are one state in the published form, and three in ours', () => {
    const published = [[1, 2, 3], [6], [3, 2, 1]].map((a) =>
      hashIntegerArray(BigInt64Array.from(a, BigInt)).join(),
    )
    expect(new Set(published).size).toBe(1)
    const kind = valueState<number[]>({ name: 'row', guessProbability: 0 })
    const ours = [[1, 2, 3], [6], [3, 2, 1]].map((a) => kind.encode(a).join())
    expect(new Set(ours).size).toBe(3)
  })
})

describe('hole 8: no salt', () => {
  it("another solver's proof passes as one's own in the published protocol", async () => {
    const { solverProof } = await solveCompat(cubes, request)
    expect(await compatAccepts(cubes, range(1000), { solverProof })).toBe(true)
  })

  it('assay refuses a copied proof, a replayed one, and one for another task', async () => {
    const honest = await execute(cubes, request, { job, key: solverKey })
    const copied = {
      ...honest,
      binding: {
        ...honest.binding,
        nodeId: (await execute(cubes, request, { job, key: otherKey })).binding.nodeId,
      },
    }
    const output = cubes.output.derive(honest.states, request.solverInput)
    const stolen = await respond(cubes, { run: copied, output }, { key: otherKey })
    expect((await check(cubes, request, { solution: stolen, ask })).response.evidence?.code).toBe(
      'sampling/output-row',
    )
    const solution = await solve(cubes, request, { job, key: solverKey })
    const replayed = await check(cubes, request, { solution, ask, job: { ...job, nonce: bytes32('fresh') } })
    expect(replayed.response.evidence?.code).toBe('poe/mismatch')
    const renamed = defineTask({ ...cubesDefinition(), version: '2' })
    expect((await check(renamed, request, { solution, ask })).response.evidence?.code).toBe('poe/mismatch')
  })
})

function cubesDefinition() {
  return {
    name: 'cubes',
    shape: 'parallel' as const,
    input: cubes.input,
    state: integerState(),
    count: (input: number[]) => input.length,
    compute: (input: number[], index: number): Integer => BigInt(input[index] as number) ** 3n + 7n,
  }
}

describe('hole 9: the lazy verifier never looks at the output', () => {
  it('an altered output passes the published one', async () => {
    const { solverProof, solverOutput } = await solveCompat(cubes, request)
    expect(
      await compatAccepts(cubes, range(1000), { solverProof, output: [666n, ...solverOutput.slice(1)] }),
    ).toBe(true)
  })

  it('and fails the hardened one', async () => {
    const alter = (rows: readonly Integer[]) => [666n, ...rows.slice(1)]
    const solution = await solveAdversarially(cubes, request, { job, key: solverKey, alter })
    expect((await check(cubes, request, { solution, ask: { samples: 0 } })).response.isVerified).toBe(false)
  })
})

describe('hole 10: nobody can audit the sample', () => {
  it('assay derives it from a seed and the commitment, and says which', async () => {
    const solution = await solve(cubes, request, { job, key: solverKey })
    const first = await check(cubes, request, { solution, ask })
    const seed = challengeSeed({
      seed: challenge,
      commitmentDigest: commitExecution(solution.commitment.fields),
    })
    expect(first.check.indices).toEqual(sampleIndices(seed, { population: 1000, size: first.check.samples }))
    const second = await check(cubes, request, { solution, ask, seed: bytes32('another') })
    expect(second.check.indices).not.toEqual(first.check.indices)
  })
})

describe('hole 11: one number stands for sample share and confidence', () => {
  it('a tenth of 10,000 states is 1,000 where 453 give 99 % against 1 %', () => {
    const states = 10_000
    const size = sampleSize({
      states,
      fakedShare: 0.01,
      confidence: 0.99,
      falsePositiveRate: 0.01,
      guessProbability: 0,
    })
    expect(size).toBe(453)
    expect(Math.ceil(0.1 * states)).toBe(1000)
  })
})

describe('hole 12: sequential tasks replay from the start', () => {
  it('in the published verifier; a checkpoint costs one step (counted in sampling.test.ts)', async () => {
    let steps = 0
    const counted: typeof chain = {
      ...chain,
      open: (input) => {
        const inner = chain.open(input)
        return {
          ...inner,
          stateAt: (index) => {
            steps = Math.max(steps, index + 1)
            return inner.stateAt(index)
          },
        }
      },
    }
    const chainRequest = requestOf({ start: 1, steps: 300 })
    const { solverProof, solverOutput } = await solveCompat(chain, chainRequest)
    const response = await verifyLazyCompat(
      counted,
      { solverRequest: chainRequest, solverOutput, solverProof, verificationRatio: 0.1 },
      { seed: challenge },
    )
    expect(response).toMatchObject({ isVerified: true, countItems: 30 })
    expect(steps).toBeGreaterThan(200)
  })
})

describe('hole 13: both sides widen their intervals', () => {
  it('values 2.4 tolerances apart share a published hash; ours are refused beyond two buckets', () => {
    const epsilon = 1e-4
    expect(arraysAgree(hashArray([1.00005], epsilon), hashArray([1.00005 + 2.4 * epsilon], epsilon))).toBe(
      true,
    )
    const kind = arrayState({ length: 1, epsilon })
    const at = (x: number) => Float64Array.of(x)
    expect(acceptsState(kind, at(1.00005), at(1.00005 + 0.99 * epsilon))).toBe(true)
    expect(acceptsState(kind, at(1.00005), at(1.00005 + 2.4 * epsilon))).toBe(false)
  })
})
