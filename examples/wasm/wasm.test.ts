import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEFAULT_WASM_LIMITS } from 'assay/wasm/limits'
import { loadWasmModule } from 'assay/wasm/module'
import { runRecord } from 'assay/wasm/run'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'

const read = (name: string) => readFileSync(new URL(name, import.meta.url))
const load = (name: string) => loadWasmModule(new Uint8Array(read(`${name}.wasm`)), DEFAULT_WASM_LIMITS)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const utf8 = (text: string) => new TextEncoder().encode(text)
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const provenance: { files: { [name: string]: { source: string; bytes: number; sha256: string } } } =
  JSON.parse(text(read('provenance.json')))

/** Integers as bytes, least significant first. */
function little(...fields: (readonly [value: bigint, bytes: number])[]): Uint8Array {
  return Uint8Array.from(
    fields.flatMap(([value, bytes]) =>
      Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 255n)),
    ),
  )
}

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })

describe('square, in C', () => {
  const module = load('square')

  it('squares', () => {
    fc.assert(
      fc.property(u64, (value) => {
        const { output } = runRecord(module, little([value, 8]))
        expect(output).toEqual(little([BigInt.asUintN(64, value * value), 8]))
      }),
    )
  })

  it('traps on anything but a number', () => {
    expect(() => runRecord(module, utf8('12'))).toThrow(expect.objectContaining({ code: 'wasm/trap' }))
  })
})

describe('orders, in C', () => {
  const module = load('orders')
  const run = (csv: string) => runRecord(module, utf8(csv))

  it.each([
    ['one', 'tea,3,4.5', 'tea,1,3,1350\n'],
    [
      'several, in the order of their bytes',
      'tea,3,4.5\nZink,1,9\ntea,2,0.05\n',
      'Zink,1,1,900\ntea,2,5,1360\n',
    ],
    ['a prefix', 'tea,1,1\nteapot,1,1', 'tea,1,1,100\nteapot,1,1,100\n'],
    ['nothing', '', ''],
    [
      'lines that are none',
      'tea,3\ntea,x,1\n,1,1\ntea,1,1.\ntea,1,1.234\ntea,1,1,1\n\ntea,1,1',
      'tea,1,1,100\n!,7,0,0\n',
    ],
    ['numbers too long', 'tea,1234567890,1\ntea,1,1234567890', '!,2,0,0\n'],
  ])('adds up %s', (_, csv, table) => {
    expect(text(run(csv).output)).toBe(table)
  })

  it('adds up what a plain loop does, and emits its progress', () => {
    const order = fc.tuple(
      fc.constantFrom('a', 'b', 'bb', 'ü'),
      fc.nat({ max: 999 }),
      fc.nat({ max: 99_999 }),
    )
    fc.assert(
      fc.property(fc.array(order, { maxLength: 2500 }), (orders) => {
        const totals = new Map<string, [number, number, number]>()
        for (const [name, quantity, cents] of orders) {
          const [count, sum, money] = totals.get(name) ?? [0, 0, 0]
          totals.set(name, [count + 1, sum + quantity, money + quantity * cents])
        }
        const rows = [...totals].sort(([a], [b]) => (a < b ? -1 : 1))
        const { output, emitted } = run(
          orders.map(([name, n, c]) => `${name},${n},${(c / 100).toFixed(2)}`).join('\n'),
        )
        expect(text(output)).toBe(rows.map(([name, values]) => `${name},${values.join()}\n`).join(''))
        expect(emitted).toEqual(
          Array.from({ length: Math.floor(orders.length / 1000) }, (_, i) =>
            little([BigInt(1000 * (i + 1)), 8]),
          ),
        )
      }),
      { numRuns: 20 },
    )
  })
})

describe('words, in Rust', () => {
  const run = (words: string) => text(runRecord(load('words'), utf8(words)).output)

  it('counts', () => {
    expect(run('The cat and the hat. Überall und überall!')).toBe(
      '2 the\n2 überall\n1 and\n1 cat\n1 hat\n1 und\n',
    )
    expect(run('')).toBe('')
  })

  it('takes what does not fit into its first pages', () => {
    expect(run('yes no '.repeat(100_000))).toBe('100000 no\n100000 yes\n')
  })
})

describe('pi, in AssemblyScript', () => {
  const module = load('pi')

  function inside(seed: bigint, points: number): number[] {
    const counts: number[] = []
    const mask = 2n ** 64n - 1n
    let state = seed | 1n
    let count = 0
    for (let i = 0; i < points; i++) {
      state ^= state >> 12n
      state ^= (state << 25n) & mask
      state ^= state >> 27n
      const random = (state * 0x2545f4914f6cdd1dn) & mask
      const [x, y] = [random >> 33n, random & 0x7fffffffn]
      if (x * x + y * y < 2n ** 62n) count += 1
      if ((i & 0xffff) === 0xffff) counts.push(count)
    }
    return [...counts, count]
  }

  it.each([
    [7n, 70_000],
    [2n ** 63n, 200],
    [0n, 0],
  ])('counts points from seed %d, %i of them', (seed, points) => {
    const { output, emitted } = runRecord(module, little([seed, 8], [BigInt(points), 4]))
    expect([...emitted, output]).toEqual(inside(seed, points).map((count) => little([BigInt(count), 4])))
  })

  it('comes from its source', () => {
    const out = mkdtempSync(join(tmpdir(), 'assay-pi-'))
    const root = fileURLToPath(new URL('../../', import.meta.url))
    const command = /asc\.js (assemblyscript[\s\S]*?) --outFile/.exec(text(read('build.sh')))?.[1] ?? ''
    try {
      const options = command.replaceAll('\\\n', ' ').split(/\s+/)
      const asc = join(root, 'node_modules/assemblyscript/bin/asc.js')
      execFileSync(process.execPath, [asc, ...options, '--outFile', join(out, 'pi.wasm')], {
        cwd: fileURLToPath(new URL('.', import.meta.url)),
      })
      expect(readFileSync(join(out, 'pi.wasm')).equals(read('pi.wasm'))).toBe(true)
    } finally {
      rmSync(out, { recursive: true })
    }
  })
})

describe('the modules', () => {
  it.each(Object.entries(provenance.files))(
    '%s is what the provenance names',
    (name, { source, bytes, sha256: digest }) => {
      expect(read(name)).toHaveLength(bytes)
      expect(sha256(read(name))).toBe(digest)
      expect(read(source).length).toBeGreaterThan(0)
    },
  )

  it('have no arithmetic whose bits an engine may choose', () => {
    for (const name of ['square', 'orders', 'words', 'pi']) expect(load(name).usesFloats).toBe(false)
  })
})

it('runs', async () => {
  const output = await runExample('wasm')
  expect(output).toContain('apple,40,')
  expect(output).toMatch(/honest solver: accepted .*confidence 99/)
  expect(output).toContain('lazy solver: rejected (sampling/state-mismatch)')
})
