import { readFileSync } from 'node:fs'
import { contentAddress } from 'assay/core/cid'
import type { AssayError } from 'assay/core/errors'
import { DEFAULT_WASM_LIMITS, type WasmLimits } from 'assay/wasm/limits'
import { loadWasmModule } from 'assay/wasm/module'
import { decodeRow, encodeRow } from 'assay/wasm/row'
import { runRecord } from 'assay/wasm/run'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { createWasmRunner, type WasmRunner } from '../dist/work/wasm-runner.js'

interface Source {
  readonly cid: string
  readonly bytes: Uint8Array
}

const sourceOf = (bytes: Uint8Array): Source => ({ cid: contentAddress(bytes, 'raw'), bytes })
const read = (path: string) => sourceOf(new Uint8Array(readFileSync(new URL(path, import.meta.url))))
const example = (name: string) => read(`../../../examples/wasm/${name}.wasm`)
const misbehaving = read('./fixtures/misbehaving.wasm')
const limits = { ...DEFAULT_WASM_LIMITS, memoryPages: 1024 }
const options = { limits, timeLimitMs: 10_000 }

const opened: WasmRunner[] = []
afterAll(async () => {
  await Promise.all(opened.map((runner) => runner.close()))
})
function runnerOf(workers = 2): WasmRunner {
  const runner = createWasmRunner({ workers })
  opened.push(runner)
  return runner
}
const shared = runnerOf()

/** A record for the module that misbehaves. */
function order(what: string, number = 0): Uint8Array {
  const record = new Uint8Array(8)
  record[0] = what.charCodeAt(0)
  new DataView(record.buffer).setUint32(1, number, true)
  return record
}
const echo = (number: number) => order('e', number)
const several = (count: number, make: (i: number) => Uint8Array = echo) =>
  Array.from({ length: count }, (_, i) => make(i))

function here({ bytes }: Source, records: readonly Uint8Array[], within: WasmLimits = limits): Uint8Array[] {
  const module = loadWasmModule(bytes, within)
  return records.map((record) => encodeRow(runRecord(module, record)))
}

async function refusal(work: Promise<unknown>): Promise<AssayError> {
  return work.then(
    () => {
      throw new Error('expected a refusal')
    },
    (error: AssayError) => {
      expect(error.name).toBe('AssayError')
      return error
    },
  )
}

describe('rows', () => {
  const orders = several(500, (i) =>
    new TextEncoder().encode(`tea,${i},1.5\nrice,2,0.${i % 10}\n`.repeat(i % 700)),
  )
  const words = several(60, (i) => new TextEncoder().encode(`the ${i} quick brown foxes `.repeat(i)))
  const points = several(20, (i) => Uint8Array.of(i, 0, 0, 0, 0, 0, 0, 0, 0, 0, i % 3, 0))

  it.each([1, 2])('are those of this process, with %i workers', async (workers) => {
    const runner = runnerOf(workers)
    const runs = [
      ['square', several(3000, (i) => Uint8Array.of(i, i >> 8, 3, 0, 0, 0, 0, 0))],
      ['orders', orders],
      ['words', words],
      ['pi', points],
    ] as const
    const rows = await Promise.all(runs.map(([name, records]) => runner.run(example(name), records, options)))
    for (const [i, [name, records]] of runs.entries()) expect(rows[i]).toEqual(here(example(name), records))
  })

  it('come in order, whatever each takes', async () => {
    const records = several(200, (i) => order('w', (i * 7919) % 20_000))
    expect(await shared.run(misbehaving, records, options)).toEqual(here(misbehaving, records))
  })

  it('are more than one message carries', async () => {
    const records = several(40, (i) => order('o', 2 ** 20 - i))
    const within = { ...options, limits: { ...limits, outputBytes: 2 ** 20 } }
    const rows = await shared.run(misbehaving, records, within)
    expect(rows.map((row) => decodeRow(row).output.length)).toEqual(records.map((_, i) => 2 ** 20 - i))
  })

  it('of no record are none', async () => {
    expect(await shared.run(misbehaving, [], options)).toEqual([])
  })

  it('leave the records as they were', async () => {
    const records = several(10)
    await shared.run(misbehaving, records, options)
    expect(records).toEqual(several(10))
  })

  it('of many modules, more than a thread holds', async () => {
    // The same program at other addresses: custom sections are skipped, and change what it hashes to.
    const bytes = example('square').bytes
    const modules = several(20, (i) => Uint8Array.from([...bytes, 0, 3, 1, 120, i])).map(sourceOf)
    const record = Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0)
    const expected = here(example('square'), [record])
    for (let round = 0; round < 3; round++) {
      const rows = await Promise.all(modules.map((module) => shared.run(module, [record], options)))
      for (const row of rows) expect(row).toEqual(expected)
    }
  })

  it('of one module within different limits', async () => {
    const tight = { ...options, limits: { ...limits, outputBytes: 7 } }
    for (let i = 0; i < 3; i++) {
      expect(await shared.run(misbehaving, several(3), options)).toHaveLength(3)
      expect((await refusal(shared.run(misbehaving, several(3), tight))).code).toBe('wasm/output-too-large')
    }
  })
})

describe('a record that goes wrong', () => {
  const quick = { ...options, timeLimitMs: 1000 }

  it.each([
    ['loops', order('l'), 'wasm/time', /record 3: .* 1000 ms/],
    ['traps', order('t'), 'wasm/trap', /record 3: .*unreachable/],
    ['recurses', order('r'), 'wasm/trap', /record 3: /],
    ['floods', order('f', 1), 'wasm/output-too-large', /record 3: .*emitted/],
    ['answers with too much', order('o', 2 ** 21), 'wasm/output-too-large', /record 3: /],
    ['answers from beyond its memory', order('b', 9), 'wasm/bounds', /record 3: /],
  ])('%s', async (_, bad, code, message) => {
    const records = several(6)
    records[3] = bad
    const error = await refusal(shared.run(misbehaving, records, quick))
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), detail: { record: 3 } })
    expect(await shared.run(misbehaving, several(50), options)).toEqual(here(misbehaving, several(50)))
  })

  it('is reported by the lowest that does', async () => {
    const records = several(400, (i) =>
      i === 250 || i === 399 ? order('t') : i > 250 ? order('l') : echo(i),
    )
    for (let i = 0; i < 3; i++) {
      const error = await refusal(shared.run(misbehaving, records, quick))
      expect(error).toMatchObject({ code: 'wasm/trap', detail: { record: 250 } })
    }
  })

  it('spoils no other run', async () => {
    const good = several(300, (i) => order('w', i))
    const work = Promise.all([1, 2, 3].map(() => shared.run(misbehaving, good, options)))
    const bad = several(3, () => order('l')).map((record) =>
      refusal(shared.run(misbehaving, [record], quick)),
    )
    for (const { code } of await Promise.all(bad)) expect(code).toBe('wasm/time')
    for (const rows of await work) expect(rows).toEqual(here(misbehaving, good))
  })

  it('grows as far as it may, again and again', async () => {
    const records = several(40, () => order('g'))
    expect(await shared.run(misbehaving, records, options)).toEqual(here(misbehaving, records))
  })

  it('adds up to more than a caller can hold', async () => {
    const outputBytes = 2 ** 23
    const records = several(33, () => order('o', outputBytes))
    const within = { ...options, limits: { ...limits, outputBytes } }
    const error = await refusal(shared.run(misbehaving, records, within))
    expect(error).toMatchObject({
      code: 'wasm/output-too-large',
      message: expect.stringMatching(/in one run/),
    })
  })
})

describe('a module that is refused', () => {
  it.each([
    ['no module', sourceOf(Uint8Array.of(1, 2, 3)), 'wasm/malformed'],
    ['more memory than allowed', misbehaving, 'wasm/memory'],
    ['other bytes than its address says', { ...misbehaving, bytes: example('square').bytes }, 'cid/mismatch'],
    ['an address that is none', { ...misbehaving, cid: 'misbehaving' }, 'cid/malformed'],
  ])('%s, each time', async (_, source, code) => {
    const runner = runnerOf(1)
    const within = { ...options, limits: { ...limits, memoryPages: 200 } }
    for (let i = 0; i < 2; i++) {
      const error = await refusal(runner.run(source, several(5), within))
      expect(error).toMatchObject({ code })
      expect(error.detail).not.toHaveProperty('record')
    }
    expect(await runner.run(misbehaving, several(5), options)).toHaveLength(5)
  })

  it('is damaged: a code, or rows, and never long', async () => {
    const runner = runnerOf(2)
    const { bytes } = example('square')
    const record = Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0)
    const within = { limits: { ...limits, memoryPages: 64 }, timeLimitMs: 100 }
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: bytes.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          const damaged = bytes.slice()
          damaged[at] = (damaged[at] as number) ^ flip
          try {
            expect(await runner.run(sourceOf(damaged), [record, record], within)).toHaveLength(2)
          } catch (error) {
            expect(error).toMatchObject({ name: 'AssayError', code: expect.stringMatching(/^wasm\//) })
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('cancellation', () => {
  it('before a run', async () => {
    const signal = AbortSignal.abort()
    expect((await refusal(shared.run(misbehaving, several(3), { ...options, signal }))).code).toBe(
      'task/cancelled',
    )
  })

  it('of a record that loops, at once, and of nothing else', async () => {
    const runner = runnerOf(2)
    await runner.run(misbehaving, several(1), options)
    const abort = new AbortController()
    const work = runner.run(misbehaving, [order('l'), order('l')], {
      limits,
      timeLimitMs: 3_600_000,
      signal: abort.signal,
    })
    const other = runner.run(misbehaving, several(500), options)
    setTimeout(() => abort.abort(), 30)
    expect((await refusal(work)).code).toBe('task/cancelled')
    expect(await other).toEqual(here(misbehaving, several(500)))
  })

  it('of a run that is queued behind another', async () => {
    const runner = runnerOf(1)
    const first = runner.run(misbehaving, [order('w', 3_000_000)], options)
    const abort = new AbortController()
    const second = refusal(runner.run(misbehaving, several(3), { ...options, signal: abort.signal }))
    abort.abort()
    expect((await second).code).toBe('task/cancelled')
    expect(await first).toHaveLength(1)
  })
})

describe('closing', () => {
  it('ends what is under way, and refuses what comes', async () => {
    const runner = createWasmRunner({ workers: 2 })
    const work = several(3, () => order('l')).map((record) =>
      refusal(runner.run(misbehaving, [record], options)),
    )
    await runner.close()
    for (const { code } of await Promise.all(work)) expect(code).toBe('wasm/closed')
    expect((await refusal(runner.run(misbehaving, several(1), options))).code).toBe('wasm/closed')
    await runner.close()
  })

  it('of a runner that did nothing', async () => {
    await createWasmRunner({ workers: 4 }).close()
  })
})

describe('options', () => {
  it.each([0, 0.5, 257, Number.NaN])('%d workers', (workers) => {
    expect(() => createWasmRunner({ workers })).toThrow(expect.objectContaining({ code: 'wasm/options' }))
  })

  it.each([0, -1, Number.NaN, 1e9])('a time limit of %d', async (timeLimitMs) => {
    const work = shared.run(misbehaving, several(1), { limits, timeLimitMs })
    expect((await refusal(work)).code).toBe('wasm/options')
  })

  it('limits out of range', async () => {
    const within = { ...options, limits: { ...limits, memoryPages: 2 ** 20 } }
    expect((await refusal(shared.run(misbehaving, several(1), within))).code).toBe('codec/schema')
  })
})
