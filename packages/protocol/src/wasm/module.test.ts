import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { DEFAULT_WASM_LIMITS, MAX_MODULE_BYTES } from './limits.ts'
import { loadWasmModule } from './module.ts'
import { runRecord } from './run.ts'
import {
  ALLOC,
  ALLOC_TYPE,
  at,
  buildModule,
  custom,
  dataAt,
  ECHO,
  EMIT_IMPORT,
  exported,
  imported,
  lebBytes,
  NOTHING,
  type Parts,
  RUN,
  RUN_TYPE,
  section,
  workExports,
} from './testing/build.ts'

const load = (parts: Parts, limits = DEFAULT_WASM_LIMITS) => loadWasmModule(buildModule(parts), limits)
const refusal = (parts: Parts) => codeOf(() => load(parts))
const repeat = (count: number, code: readonly number[]) => Array.from({ length: count }, () => code).flat()
const nothing = (code: readonly number[], locals: readonly number[] = []) => ({
  functions: [at(16), { type: RUN, code: ECHO }, { type: NOTHING, code, locals }],
})

describe('a module', () => {
  it('loads with what it says of itself', () => {
    expect(load({})).toMatchObject({
      limits: DEFAULT_WASM_LIMITS,
      memory: { minimumPages: 1, maximumPages: 1 },
      usesFloats: false,
      initializes: false,
    })
  })

  it.each<[string, Parts]>([
    ['emit', { imports: [EMIT_IMPORT], exports: workExports(1) }],
    ['a table', { tables: [[0x70, 1, 2, 2]], elements: [[0, 0x41, 0, 0x0b, 2, 0, 1]] }],
    [
      'every form of elements',
      {
        tables: [
          [0x70, 1, 8, 8],
          [0x6f, 1, 1, 1],
        ],
        elements: [
          [0, 0x41, 0, 0x0b, 1, 0],
          [1, 0, 1, 0],
          [2, 0, 0x41, 1, 0x0b, 0, 1, 0],
          [3, 0, 1, 0],
          [4, 0x41, 2, 0x0b, 1, 0xd2, 0, 0x0b],
          [5, 0x70, 1, 0xd2, 0, 0x0b],
          [6, 1, 0x41, 0, 0x0b, 0x6f, 1, 0xd0, 0x6f, 0x0b],
          [7, 0x70, 1, 0xd0, 0x70, 0x0b],
        ],
      },
    ],
    [
      'every form of data',
      { data: [dataAt(4, [1, 2]), Uint8Array.of(1, 1, 9), Uint8Array.of(2, 0, 0x41, 0, 0x0b, 1, 7)] },
    ],
    [
      'every form of constants',
      {
        globals: [
          [0x7f, 1, 0x41, 0xff, 0, 0x0b],
          [0x7e, 0, 0x42, 0xff, 0, 0x0b],
          [0x7d, 0, 0x43, 0, 0, 0, 0, 0x0b],
          [0x7c, 0, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b],
          [0x7b, 0, 0xfd, 12, ...Array<number>(16).fill(7), 0x0b],
          [0x70, 1, 0xd2, 0, 0x0b],
          [0x6f, 1, 0xd0, 0x6f, 0x0b],
        ],
      },
    ],
    ['custom sections', { extra: [custom('name', [9, 9]), custom('', [])] }],
    [
      'numbers that are longer than they need be',
      nothing([0x41, 0x80, 0x80, 0x80, 0x80, 0, 0x1a, 0x0c, 0x80, 0]),
    ],
    ['an else', nothing([0x41, 0, 0x04, 0x40, 0x01, 0x05, 0x01, 0x0b])],
  ])('with %s, as the engine takes it', (_, parts) => {
    expect(WebAssembly.validate(buildModule(parts) as Uint8Array<ArrayBuffer>)).toBe(true)
    const module = load(parts)
    expect(runRecord(module, Uint8Array.of(1, 2, 3)).output).toEqual(Uint8Array.of(1, 2, 3))
  })

  it('keeps nothing of the bytes that it was given', () => {
    const bytes = buildModule()
    const module = loadWasmModule(bytes, DEFAULT_WASM_LIMITS)
    bytes.fill(0)
    expect(runRecord(module, Uint8Array.of(5)).output).toEqual(Uint8Array.of(5))
  })
})

describe('refusals', () => {
  const big = Array<number>(2 ** 18).fill(0x01)
  const cases: [string, Parts, string, RegExp][] = [
    [
      'WASI',
      { imports: [imported('wasi_snapshot_preview1', 'fd_write', [0, 2])] },
      'wasm/import',
      /wasi_snapshot_preview1\.fd_write/,
    ],
    [
      'a memory of the host',
      { imports: [imported('env', 'memory', [2, 1, 1, 1])], memory: null },
      'wasm/import',
      /env\.memory/,
    ],
    ['a clock', { imports: [imported('env', 'Date.now', [0, 3])] }, 'wasm/import', /Date/],
    [
      'a global of the host',
      { imports: [imported('assay', 'emit', [3, 0x7f, 0])] },
      'wasm/import',
      /assay\.emit/,
    ],
    ['a table of the host', { imports: [imported('assay', 'emit', [1, 0x70, 1, 1, 1])] }, 'wasm/import', /./],
    [
      'emit of another type',
      { imports: [imported('assay', 'emit', [0, RUN])] },
      'wasm/import',
      /another type/,
    ],
    [
      'emit of a type that is not there',
      { imports: [imported('assay', 'emit', [0, 99])] },
      'wasm/import',
      /another type/,
    ],
    ['emit twice', { imports: [EMIT_IMPORT, EMIT_IMPORT] }, 'wasm/import', /assay\.emit/],
    ['a look-alike of emit', { imports: [imported('\uFEFFassay', 'emit', [0, 2])] }, 'wasm/import', /assay/],
    [
      'the name under which its own memory is passed',
      { imports: [imported('assay', 'memory', [2, 1, 1, 1])], memory: null },
      'wasm/import',
      /assay\.memory/,
    ],
    ['a start function', { ...nothing([]), start: 2 }, 'wasm/start', /_initialize/],
    ['no memory', { memory: null }, 'wasm/memory', /none/],
    ['a memory without a maximum', { memory: [0, 1] }, 'wasm/memory', /--max-memory/],
    ['a memory beyond the limits', { memory: [1, 1, ...lebBytes(1025)] }, 'wasm/memory', /1 to 1025/],
    ['a memory that begins beyond its end', { memory: [1, 2, 1] }, 'wasm/memory', /2 to 1/],
    ['a shared memory', { memory: [3, 1, 1] }, 'wasm/feature', /shared/],
    ['a memory of 64 bits', { memory: [5, 1, 1] }, 'wasm/feature', /64-bit/],
    ['a table without a maximum', { tables: [[0x70, 0, 1]] }, 'wasm/too-large', /declared maximum/],
    ['a large table', { tables: [[0x70, 1, 1, ...lebBytes(2 ** 16 + 1)]] }, 'wasm/too-large', /tables/],
    [
      'a table that begins large',
      { tables: [[0x70, 1, ...lebBytes(2 ** 31), 1]] },
      'wasm/too-large',
      /tables/,
    ],
    [
      'many tables',
      { tables: repeat(17, []).length === 0 ? Array(17).fill([0x70, 1, 1, 1]) : [] },
      'wasm/too-large',
      /tables/,
    ],
    [
      'a computed constant',
      { globals: [[0x7f, 0, 0x41, 1, 0x41, 2, 0x6a, 0x0b]] },
      'wasm/feature',
      /constant/,
    ],
    [
      'a constant read from a global',
      {
        globals: [
          [0x7f, 0, 0x41, 1, 0x0b],
          [0x7f, 0, 0x23, 0, 0x0b],
        ],
      },
      'wasm/feature',
      /constant/,
    ],
    [
      'a type of garbage collection',
      { types: [ALLOC_TYPE, RUN_TYPE, { parameters: [0x6e], results: [] }] },
      'wasm/feature',
      /value type 0x6e/,
    ],
    ['tags', { extra: [section(13, Uint8Array.of(1, 0, 3))] }, 'wasm/feature', /section of kind 13/],
    ['a large function', nothing(big), 'wasm/too-large', /bytes in a function/],
    ['many locals', nothing([], Array(2 ** 13 + 1).fill(0x7f)), 'wasm/too-large', /locals/],
    [
      'deep blocks',
      nothing([...repeat(4096, [0x02, 0x40]), ...repeat(4096, [0x0b])]),
      'wasm/too-large',
      /within one another/,
    ],
    [
      'a bomb of branches',
      nothing(repeat(20_000, [0x03, 0x40, 0x0b])),
      'wasm/too-large',
      /blocks and branches/,
    ],
    [
      'a bomb of labels',
      nothing([0x41, 0, 0x0e, ...lebBytes(20_000), ...repeat(20_001, [0])]),
      'wasm/too-large',
      /blocks and branches/,
    ],
    [
      'a bomb of locals',
      nothing(repeat(200, [0x03, 0x40, 0x0b]), Array(8000).fill(0x7f)),
      'wasm/too-large',
      /blocks and branches/,
    ],
    [
      'many exports',
      { exports: [...workExports(), ...Array.from({ length: 1024 }, (_, i) => exported(`f${i}`, 0, 0))] },
      'wasm/too-large',
      /exports/,
    ],
    [
      'many elements',
      {
        tables: [[0x70, 1, 1, 1]],
        elements: [
          [1, 0, ...lebBytes(2 ** 16), ...Array(2 ** 16).fill(0)],
          [1, 0, 1, 0],
        ],
      },
      'wasm/too-large',
      /element/,
    ],
    ['no alloc', { exports: [exported('memory', 2, 0), exported('run', 0, 1)] }, 'wasm/abi', /alloc/],
    ['no run', { exports: [exported('memory', 2, 0), exported('alloc', 0, 0)] }, 'wasm/abi', /run/],
    ['no memory to be seen', { exports: workExports().slice(1) }, 'wasm/abi', /memory/],
    [
      'a memory that is a function',
      { exports: [exported('memory', 0, 0), ...workExports().slice(1)] },
      'wasm/abi',
      /memory/,
    ],
    [
      'a memory that only looks like one',
      { exports: [exported('\uFEFFmemory', 2, 0), ...workExports().slice(1)] },
      'wasm/abi',
      /memory/,
    ],
    [
      'run of another type',
      { functions: [at(16), { type: ALLOC, code: [0x20, 0] }] },
      'wasm/abi',
      /run: \(i32, i32\) -> i64/,
    ],
    [
      '_initialize of another type',
      { exports: [...workExports(), exported('_initialize', 0, 0)] },
      'wasm/abi',
      /_initialize/,
    ],
    [
      'run that is not there',
      { exports: [...workExports().slice(0, 2), exported('run', 0, 77)] },
      'wasm/abi',
      /run/,
    ],
    ['a type error', { functions: [at(16), { type: RUN, code: [0x41, 0] }] }, 'wasm/invalid', /./],
    ['an export twice', { exports: [...workExports(), ...workExports()] }, 'wasm/invalid', /./],
    ['bytes after the last section', { extra: [Uint8Array.of(0)] }, 'wasm/malformed', /byte/],
    [
      'a section twice',
      { extra: [section(11, Uint8Array.of(0)), section(11, Uint8Array.of(0))] },
      'wasm/malformed',
      /order/,
    ],
  ]

  it.each(cases)('%s', (_, parts, code, message) => {
    expect(refusal(parts)).toMatchObject({ code, message: expect.stringMatching(message) })
  })

  it.each([
    ['nothing', new Uint8Array(0), 'wasm/malformed'],
    ['text', new TextEncoder().encode('(module)'), 'wasm/malformed'],
    ['a header alone', Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), 'wasm/memory'],
    ['a component', Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), 'wasm/malformed'],
    ['too much', new Uint8Array(MAX_MODULE_BYTES + 1), 'wasm/too-large'],
    ['what is no bytes', 'AGFzbQ==' as unknown as Uint8Array, 'wasm/malformed'],
  ])('%s', (_, bytes, code) => {
    expect(codeOf(() => loadWasmModule(bytes, DEFAULT_WASM_LIMITS)).code).toBe(code)
  })

  it.each([{ memoryPages: -1 }, { outputBytes: 1.5 }, { emittedStates: 2 ** 20 }, { other: 1 }])(
    'limits of %o',
    (change) => {
      const limits = { ...DEFAULT_WASM_LIMITS, ...change }
      expect(codeOf(() => load({}, limits)).code).toBe('codec/schema')
    },
  )
})
