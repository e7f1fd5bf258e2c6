/** Damaged modules: refused with a code, or as good as the engine says. What the engine accepts is never malformed. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { mutants } from '../core/testing/mutants.ts'
import { DEFAULT_WASM_LIMITS } from './limits.ts'
import { loadWasmModule } from './module.ts'
import {
  at,
  buildModule,
  custom,
  dataAt,
  ECHO,
  EMIT_IMPORT,
  exported,
  NOTHING,
  RUN,
  workExports,
} from './testing/build.ts'

/** Something of everything. */
const RICH = buildModule({
  imports: [EMIT_IMPORT],
  functions: [
    at(16),
    {
      type: RUN,
      code: [0x41, 0, 0x41, 8, 0x10, 0, 0x43, 0, 0, 0x80, 0x3f, 0x91, 0x1a, ...ECHO],
      locals: [0x7b, 0x7d],
    },
    {
      type: NOTHING,
      code: [
        0x02, 0x40, 0x41, 1, 0x0e, 1, 0, 0, 0x0b, 0x41, 0, 0x04, 0x7f, 0x41, 1, 0x05, 0x41, 0, 0x0b, 0x1a,
      ],
    },
  ],
  tables: [[0x70, 1, 2, 4]],
  memory: [1, 1, 4],
  globals: [
    [0x7f, 1, 0x41, 0, 0x0b],
    [0x7b, 0, 0xfd, 12, ...Array<number>(16).fill(1), 0x0b],
  ],
  exports: [...workExports(1), exported('_initialize', 0, 3)],
  elements: [
    [0, 0x41, 0, 0x0b, 2, 0, 1],
    [5, 0x70, 1, 0xd2, 1, 0x0b],
  ],
  data: [dataAt(4, [1, 2, 3]), Uint8Array.of(1, 1, 9)],
  extra: [custom('producers', [1, 2, 3])],
})

const load = (bytes: Uint8Array) => codeOf(() => loadWasmModule(bytes, DEFAULT_WASM_LIMITS)).code
const engineAccepts = (bytes: Uint8Array) => WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)

function check(bytes: Uint8Array): void {
  const code = load(bytes)
  if (code === undefined) return
  expect(code).toMatch(/^wasm\/(malformed|feature|too-large|import|memory|start|abi|invalid)$/)
  if (engineAccepts(bytes)) expect(code).not.toMatch(/^wasm\/(malformed|invalid)$/)
}

describe('a damaged module', () => {
  it('is whole before', () => {
    expect(engineAccepts(RICH)).toBe(true)
    expect(load(RICH)).toBeUndefined()
  })

  it('cut anywhere', () => {
    for (let length = 0; length < RICH.length; length++) check(RICH.subarray(0, length))
  })

  it('with any bit flipped', () => {
    for (let bit = 0; bit < 8 * RICH.length; bit++) {
      const flipped = RICH.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      check(flipped)
    }
  })

  it('with bytes changed, removed, doubled, several times over', () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat({ max: 2 }))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        let bytes: Uint8Array = RICH
        for (const [at, flip, which] of changes) bytes = mutants(bytes, at, flip)[which] ?? bytes
        check(bytes)
      }),
      { numRuns: 1000 },
    )
  })

  it('made of anything', () => {
    const head = RICH.subarray(0, 8)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, withHead) => {
        check(withHead ? Uint8Array.from([...head, ...noise]) : noise)
      }),
      { numRuns: 500 },
    )
  })
})
