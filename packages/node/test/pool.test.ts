import { AssayError } from 'assay/core/errors'
import { ed25519KeyPair } from 'assay/core/keys'
import { localExecutor, type Progress } from 'assay/method/sampling/executor'
import { solve } from 'assay/method/sampling/prover'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { verifyBaseline } from 'assay/method/sampling/verifier-rerun'
import type { AnyTask } from 'assay/task/task'
import { afterEach, describe, expect, it } from 'vitest'
import { openPool, type PoolOptions, type WorkerPool } from '../dist/executor/pool.js'
import { arrays, breaking, chain, graph, integers, later, plainTask } from './fixtures/tasks.mjs'

const TASKS = new URL('./fixtures/tasks.mjs', import.meta.url).href
const INPUT = [3, 1, 4, 1, 5]
const KEY = ed25519KeyPair(new Uint8Array(32).fill(1))
const JOB = { requestId: new Uint8Array(32).fill(2), nonce: new Uint8Array(32).fill(3) }
const REQUEST = { solverInput: INPUT, falsePositiveRate: 0.01 }
const SEED = new Uint8Array(32).fill(4)

const pools: WorkerPool<unknown>[] = []
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.close()))
})

type Given = Partial<Omit<PoolOptions, 'module'>> & {
  readonly args?: readonly unknown[]
  readonly url?: string
}

async function poolOf(task: AnyTask, name: string, given: Given = {}) {
  const { args = [], url = TASKS, ...options } = given
  const pool = await openPool(task, INPUT, {
    module: { url, export: name, args },
    workers: 1,
    closeGraceMs: 50,
    ...options,
  })
  pools.push(pool)
  return pool
}

async function statesOf(run: AsyncIterable<{ readonly states: readonly unknown[] }>): Promise<unknown[]> {
  const states: unknown[] = []
  for await (const segment of run) states.push(...segment.states)
  return states
}

async function refusal(work: Promise<unknown>): Promise<AssayError> {
  try {
    await work
  } catch (error) {
    expect(error).toBeInstanceOf(AssayError)
    return error as AssayError
  }
  throw new Error('expected a refusal')
}

const SAME: readonly (readonly [string, AnyTask, readonly unknown[]])[] = [
  ['integers', integers(), []],
  ['later', await later({ count: 300 }), [{ count: 300 }]],
  ['arrays', arrays(), []],
  ['chain', chain(), []],
  ['graph', graph(), []],
]

describe('the same whatever the number of workers', () => {
  it.each(SAME)('%s: proof, output and signature', async (name, task, args) => {
    const proofs = ['bloom', 'fingerprint'] as const
    const given = { job: JOB, key: KEY, checkpoints: true }
    const alone = await Promise.all(proofs.map((proof) => solve(task, REQUEST, { ...given, proof })))
    for (const workers of task.shape === 'parallel' ? [0, 1, 2, 3] : [0, 2]) {
      const executor = await poolOf(task, name, { args, workers })
      for (const [i, proof] of proofs.entries()) {
        expect(await solve(task, REQUEST, { ...given, proof, executor })).toEqual(alone[i])
      }
    }
  })

  it.each(SAME)('%s: verification of an honest and of an altered solution', async (name, task, args) => {
    const solution = await solve(task, REQUEST, { job: JOB, key: KEY })
    const request = { solverRequest: REQUEST, ...solution.response, verificationRatio: 0.2 }
    const given = { job: JOB, commitment: solution.commitment, states: solution.states, seed: SEED }
    const executor = await poolOf(task, name, { args, workers: 2 })
    const alone = await verifyLazy(task, request, given)
    expect(alone.response.isVerified).toBe(true)
    expect(await verifyLazy(task, request, { ...given, executor })).toEqual(alone)
    expect((await verifyBaseline(task, request, { ...given, executor })).response.isVerified).toBe(true)
  })

  it('finds in a pool the fault that it finds alone', async () => {
    const task = integers()
    const lie = { ...task, open: () => ({ states: 500, stateAt: (index: number) => BigInt(index) }) }
    const solution = await solve(lie, REQUEST, { job: JOB, key: KEY })
    const request = { solverRequest: REQUEST, ...solution.response, verificationRatio: 0.2 }
    const given = { job: JOB, commitment: solution.commitment, seed: SEED }
    const alone = await verifyLazy(task, request, given)
    expect(alone.response.isVerified).toBe(false)
    expect(
      await verifyLazy(task, request, { ...given, executor: await poolOf(task, 'integers', { workers: 2 }) }),
    ).toEqual(alone)
  })

  it('takes scattered indices and empty ranges', async () => {
    const task = integers()
    const pool = await poolOf(task, 'integers', { workers: 2 })
    const indices = [0, 3, 4, 99, 311, 499]
    expect(await statesOf(pool.run(indices))).toEqual(await statesOf(localExecutor(task, INPUT).run(indices)))
    expect(await statesOf(pool.run([]))).toEqual([])
    expect(await statesOf(pool.run({ from: 7, to: 7 }))).toEqual([])
  })

  it('serves two runs at once, and in one worker states that build on one another', async () => {
    const task = chain()
    const pool = await poolOf(task, 'chain', { workers: 3 })
    expect(pool.workers).toBe(1)
    const run = () => statesOf(pool.run({ from: 0, to: 2000 }))
    const [one, two] = await Promise.all([run(), run()])
    expect(one).toHaveLength(2000)
    expect(two).toEqual(one)
  })

  it('takes a task that is exported as it is', async () => {
    const pool = await poolOf(plainTask, 'plainTask')
    expect(await statesOf(pool.run({ from: 0, to: 40 }))).toHaveLength(40)
  })

  it('reports progress that rises to the total', async () => {
    const task = integers({ count: 3000 })
    const executor = await poolOf(task, 'integers', { args: [{ count: 3000 }], workers: 2 })
    const seen: Progress[] = []
    await solve(task, REQUEST, { job: JOB, key: KEY, executor, onProgress: (p) => seen.push(p) })
    expect(seen.length).toBeGreaterThan(1)
    expect(seen.map(({ done }) => done)).toEqual(seen.map(({ done }) => done).sort((a, b) => a - b))
    expect(seen.at(-1)).toEqual({ phase: 'solve', done: 3000, total: 3000 })
  })

  it('holds the workers back while nobody takes their states', async () => {
    const counted = new Int32Array(new SharedArrayBuffer(4))
    const url = `data:text/javascript,${encodeURIComponent(`
      export const counting = (task, counted) => ({ ...task, state: STATE, input: INPUT, open: () => ({
        states: 100000, stateAt: () => { Atomics.add(counted, 0, 1); const end = performance.now() + 2
          while (performance.now() < end); return 1n } }) })
      const INPUT = { decode: () => [] }
      const STATE = { assert: () => undefined, encode: () => new Uint8Array(8) }
    `)}`
    const task = integers({ count: 100_000 })
    const description = { id: task.id, name: task.name }
    const pool = await poolOf(task, 'counting', { url, workers: 2, args: [description, counted] })
    const run = pool.run({ from: 0, to: 100_000 })[Symbol.asyncIterator]()
    await run.next()
    let before = -1
    for (let look = 0; look < 50 && Atomics.load(counted, 0) !== before; look++) {
      before = Atomics.load(counted, 0)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(Atomics.load(counted, 0)).toBe(before)
    expect(before).toBeLessThan(100_000)
    await run.return?.()
  })
})

describe('refusals', () => {
  const cases = [
    ['throw', 'task/failed', /integers failed at state 123: no such row/],
    ['throw-typed', 'task/input', /expected better/],
    ['throw-text', 'task/failed', /state 123: just text/],
    ['exit', 'pool/crashed', /exited with code: 3/],
    ['exit-well', 'pool/crashed', /exited with code: 0/],
    ['throw-outside', 'pool/crashed', /outside of any state/],
  ] as const

  it.each(cases)('%s in a state', async (how, code, message) => {
    const options = { how, at: 123 }
    const pool = await poolOf(breaking(options), 'breaking', { args: [options], workers: 2 })
    const error = await refusal(statesOf(pool.run({ from: 0, to: 500 })))
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
    expect(AssayError.fromJSON(JSON.parse(JSON.stringify(error))).toJSON()).toEqual(error.toJSON())
    if (how === 'throw-typed') expect(error.detail).toEqual({ row: 12 })
    if (how === 'throw') expect(error.detail).toEqual({ stateIndex: 123 })
  })

  it('gives the fault with the lowest index, as a run alone would', async () => {
    const options = { how: 'throw', at: 37 }
    const task = breaking(options)
    const alone = await refusal(statesOf(localExecutor(task, INPUT).run({ from: 0, to: 500 })))
    const pool = await poolOf(task, 'breaking', { args: [options], workers: 3 })
    expect((await refusal(statesOf(pool.run({ from: 0, to: 500 })))).toJSON()).toEqual(alone.toJSON())
  })

  it('a worker without memory', async () => {
    const options = { how: 'out-of-memory', at: 5 }
    const pool = await poolOf(breaking(options), 'breaking', { args: [options], maxHeapMiB: 24 })
    const error = await refusal(statesOf(pool.run({ from: 0, to: 500 })))
    expect(error).toMatchObject({ code: 'pool/crashed', message: expect.stringMatching(/memory/) })
  })

  it('goes on after a worker was lost', async () => {
    const options = { how: 'exit', at: 400 }
    const pool = await poolOf(breaking(options), 'breaking', { args: [options] })
    await refusal(statesOf(pool.run({ from: 390, to: 410 })))
    expect(await statesOf(pool.run({ from: 0, to: 100 }))).toHaveLength(100)
  })

  const openings = [
    [
      'another task',
      'integers',
      { args: [{ version: '2' }] },
      'pool/task-mismatch',
      /expected integers of .* to give/,
    ],
    ['no such export', 'nothing', {}, 'pool/module', /expected nothing of .* got nothing/],
    ['an export that is no task', 'notATask', {}, 'pool/module', /got number/],
    ['a function that refuses', 'refusesToStart', {}, 'task/definition', /not today/],
    ['no such module', 'x', { url: 'file:///no/such/module.mjs' }, 'pool/module', /no\/such\/module/],
    ['a URL that is none', 'x', { url: 'module.mjs' }, 'pool/module', /module\.mjs/],
    [
      'a module that throws',
      'x',
      { url: new URL('./fixtures/throws-at-import.mjs', import.meta.url).href },
      'pool/module',
      /this module is broken/,
    ],
    [
      'a module that exits',
      'x',
      { url: new URL('./fixtures/exits-at-import.mjs', import.meta.url).href },
      'pool/crashed',
      /exited with code: 7/,
    ],
    ['too many workers', 'integers', { workers: 1e6 }, 'pool/options', /0 to 256/],
    ['half a worker', 'integers', { workers: 0.5 }, 'pool/options', /0 to 256/],
    [
      'arguments that cannot be copied',
      'integers',
      { args: [() => 1] },
      'pool/options',
      /could not be cloned/,
    ],
  ] as const

  it.each(openings)('%s', async (_, name, given, code, message) => {
    const error = await refusal(poolOf(integers(), name, given))
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
  })
})

describe('cancellation', () => {
  const forever = { how: 'run-for-ever', at: 0 }

  it.each([0, 1, 2])('of a run, with %i workers', async (workers) => {
    const task = integers({ count: 1_000_000 })
    const pool = await poolOf(task, 'integers', { args: [{ count: 1_000_000 }], workers })
    const abort = new AbortController()
    let segments = 0
    const work = (async () => {
      for await (const _ of pool.run({ from: 0, to: 1_000_000 }, { signal: abort.signal })) {
        segments += 1
        if (segments === 3) abort.abort()
      }
    })()
    expect((await refusal(work)).code).toBe('task/cancelled')
    expect(segments).toBe(3)
    expect(await statesOf(pool.run({ from: 0, to: 10 }))).toHaveLength(10)
  })

  it('of a state that never ends', async () => {
    const pool = await poolOf(breaking(forever), 'breaking', { args: [forever] })
    const signal = AbortSignal.timeout(50)
    expect((await refusal(statesOf(pool.run({ from: 0, to: 500 }, { signal })))).code).toBe('task/cancelled')
  })

  it('of the pool, which closes it', async () => {
    const abort = new AbortController()
    const pool = await poolOf(breaking(forever), 'breaking', { args: [forever], signal: abort.signal })
    const work = refusal(statesOf(pool.run({ from: 0, to: 500 })))
    setTimeout(() => abort.abort(), 50)
    expect((await work).code).toBe('task/cancelled')
    expect((await refusal(statesOf(pool.run({ from: 1, to: 2 })))).code).toBe('task/cancelled')
  })

  it('before it was opened', async () => {
    const error = await refusal(poolOf(integers(), 'integers', { signal: AbortSignal.abort() }))
    expect(error.code).toBe('task/cancelled')
  })

  it.each([0, 2])('by closing, with %i workers', async (workers) => {
    const pool = await poolOf(integers(), 'integers', { workers })
    await pool.close()
    expect((await refusal(statesOf(pool.run({ from: 0, to: 500 })))).code).toBe('pool/closed')
    await pool.close()
  })

  it('by closing in the middle of a state', async () => {
    const pool = await poolOf(breaking(forever), 'breaking', { args: [forever] })
    const work = refusal(statesOf(pool.run({ from: 0, to: 500 })))
    setTimeout(() => void pool.close(), 50)
    expect((await work).code).toBe('pool/closed')
  })
})
