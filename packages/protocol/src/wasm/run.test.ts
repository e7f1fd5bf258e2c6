import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { DEFAULT_WASM_LIMITS, type WasmLimits } from './limits.ts'
import { loadWasmModule } from './module.ts'
import { runRecord } from './run.ts'
import {
  ALLOC,
  at,
  type Body,
  buildModule,
  dataAt,
  ECHO,
  EMIT_IMPORT,
  exported,
  lebBytes,
  NOTHING,
  type Parts,
  RUN,
  sleb,
  workExports,
} from './testing/build.ts'

interface Work extends Parts {
  readonly run?: readonly number[]
  readonly locals?: readonly number[]
  readonly alloc?: Body
  readonly limits?: Partial<WasmLimits>
}

function load({ run = ECHO, locals = [], alloc = at(16), limits, ...parts }: Work) {
  const bytes = buildModule({
    functions: [alloc, { type: RUN, code: run, locals }],
    exports: workExports(parts.imports?.length ?? 0),
    ...parts,
  })
  return loadWasmModule(bytes, { ...DEFAULT_WASM_LIMITS, ...limits })
}

const record = Uint8Array.of(1, 2, 3)
const outcome = (work: Work, input = record) => codeOf(() => runRecord(load(work), input))
/** Code that answers with this range. */
const range = (place: number, length: number) => [
  0x42,
  ...slebOf(BigInt.asIntN(64, (BigInt(place) << 32n) | BigInt(length))),
]

function slebOf(value: bigint): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest < -64n || rest > 63n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return [...bytes, Number(rest & 127n)]
}

/** `emit(place, length)`, in a module whose function 0 that is. */
const emit = (place: number, length: number) => [0x41, ...sleb(place), 0x41, ...sleb(length), 0x10, 0]
const emitting = { imports: [EMIT_IMPORT] }

describe('a record', () => {
  it.each([0, 1, 3, 1000, 65_536 - 16])('of %i bytes comes back from an echo', (length) => {
    const input = Uint8Array.from({ length }, (_, i) => i)
    expect(runRecord(load({}), input)).toEqual({ output: input, emitted: [] })
  })

  it('gives output that is no view of anything', () => {
    const module = load({})
    const first = runRecord(module, record).output
    runRecord(module, Uint8Array.of(9, 9, 9))
    expect(first).toEqual(record)
    expect(first.buffer.byteLength).toBe(3)
  })

  it('emits in order, and copies what is there at the time', () => {
    // Each byte of the record is added to what is at 100, and that is emitted.
    const module = load({
      ...emitting,
      run: [
        ...[0, 1, 2].flatMap((i) => [
          0x41,
          ...sleb(100),
          0x41,
          ...sleb(100),
          0x2d,
          0,
          0,
          0x20,
          0,
          0x2d,
          0,
          i,
          0x6a,
          0x3a,
          0,
          0,
          ...emit(100, 1),
        ]),
        ...range(0, 0),
      ],
    })
    const { output, emitted } = runRecord(module, record)
    expect(output).toEqual(new Uint8Array(0))
    expect(emitted).toEqual([Uint8Array.of(1), Uint8Array.of(3), Uint8Array.of(6)])
  })

  it('grows the memory to its maximum and uses the end of it', () => {
    const last = 10 * 65_536 - 1
    const work = {
      memory: [1, 1, 10],
      run: [
        0x41,
        9,
        0x40,
        0,
        0x1a,
        0x41,
        ...sleb(last),
        0x41,
        7,
        0x3a,
        0,
        0,
        // 1 if another page was refused
        0x41,
        0,
        0x41,
        1,
        0x40,
        0,
        0x41,
        ...sleb(-1),
        0x46,
        0x3a,
        0,
        0,
        ...range(last, 1),
      ],
    }
    const module = load(work)
    expect(runRecord(module, record).output).toEqual(Uint8Array.of(7))
    expect(runRecord(module, record).output).toEqual(Uint8Array.of(7))
  })

  it('finds the module initialized, each time', () => {
    const module = loadWasmModule(
      buildModule({
        functions: [
          at(16),
          { type: RUN, code: range(0, 1) },
          // adds 5 to the byte at 0
          { type: NOTHING, code: [0x41, 0, 0x41, 0, 0x2d, 0, 0, 0x41, 5, 0x6a, 0x3a, 0, 0] },
        ],
        exports: [...workExports(), exported('_initialize', 0, 2)],
        data: [dataAt(0, [30])],
      }),
      DEFAULT_WASM_LIMITS,
    )
    for (let i = 0; i < 3; i++) expect(runRecord(module, record).output).toEqual(Uint8Array.of(35))
  })
})

describe('nothing outlives a record', () => {
  /** Counts in a place, and answers with the count as a byte at 0. */
  const counters: [string, Work][] = [
    [
      'a global',
      {
        globals: [[0x7f, 1, 0x41, 0, 0x0b]],
        run: [0x23, 0, 0x41, 1, 0x6a, 0x24, 0, 0x41, 0, 0x23, 0, 0x3a, 0, 0, ...range(0, 1)],
      },
    ],
    [
      'the memory',
      {
        run: [0x41, 0, 0x41, 0, 0x2d, 0, 0, 0x41, 1, 0x6a, 0x3a, 0, 0, ...range(0, 1)],
      },
    ],
    [
      'the end of the memory',
      {
        memory: [1, 3, 3],
        run: [
          0x41,
          0,
          0x41,
          ...sleb(3 * 65_536 - 1),
          0x2d,
          0,
          0,
          0x41,
          1,
          0x6a,
          0x3a,
          0,
          0,
          0x41,
          ...sleb(3 * 65_536 - 1),
          0x41,
          1,
          0x3a,
          0,
          0,
          ...range(0, 1),
        ],
      },
    ],
    [
      'the size of the memory',
      {
        memory: [1, 1, 10],
        run: [0x41, 1, 0x40, 0, 0x1a, 0x41, 0, 0x3f, 0, 0x3a, 0, 0, ...range(0, 1)],
      },
    ],
    [
      'a table',
      {
        tables: [[0x70, 1, 1, 9]],
        run: [0xd0, 0x70, 0x41, 1, 0xfc, 15, 0, 0x1a, 0x41, 0, 0xfc, 16, 0, 0x3a, 0, 0, ...range(0, 1)],
      },
    ],
    [
      'a dropped segment',
      {
        data: [Uint8Array.of(1, 1, 4)],
        run: [0x41, 0, 0x41, 0, 0x41, 1, 0xfc, 8, 0, 0, 0xfc, 9, 0, ...range(0, 1)],
      },
    ],
    [
      'a large memory',
      {
        memory: [1, ...lebBytes(300), ...lebBytes(300)],
        run: [0x41, 0, 0x41, 0, 0x2d, 0, 0, 0x41, 1, 0x6a, 0x3a, 0, 0, ...range(0, 1)],
      },
    ],
  ]

  it.each(counters)('%s', (_, work) => {
    const module = load(work)
    const first = runRecord(module, record).output
    expect(first).toHaveLength(1)
    for (let i = 0; i < 5; i++) expect(runRecord(module, record).output).toEqual(first)
  })

  it('what a record that trapped has left', () => {
    const module = load({
      run: [
        0x41,
        0,
        0x2d,
        0,
        0,
        0x04,
        0x40,
        0x00,
        0x0b,
        0x41,
        0,
        0x41,
        1,
        0x3a,
        0,
        0,
        0x20,
        1,
        0x45,
        0x04,
        0x40,
        0x00,
        0x0b,
        ...range(0, 1),
      ],
    })
    expect(codeOf(() => runRecord(module, new Uint8Array(0))).code).toBe('wasm/trap')
    expect(runRecord(module, record).output).toEqual(Uint8Array.of(1))
  })
})

describe('hostile modules', () => {
  const forever = (code: readonly number[]) => [0x03, 0x40, ...code, 0x0c, 0, 0x0b, 0x00]
  const cases: [string, Work, string, RegExp][] = [
    ['unreachable', { run: [0x00] }, 'wasm/trap', /unreachable/],
    ['a division by zero', { run: [0x42, 1, 0x42, 0, 0x7f] }, 'wasm/trap', /zero/],
    ['a load out of bounds', { run: [0x41, ...sleb(-1), 0x29, 0, 0] }, 'wasm/trap', /bounds/],
    ['recursion without an end', { run: [0x20, 0, 0x20, 1, 0x10, 1] }, 'wasm/trap', /call stack/],
    [
      'recursion through emit',
      { ...emitting, run: [...emit(0, 0), 0x20, 0, 0x20, 1, 0x10, 2], limits: { emittedStates: 2 ** 14 } },
      'wasm/trap|wasm/output-too-large',
      /./,
    ],
    [
      'a call of nothing',
      { tables: [[0x70, 1, 1, 1]], run: [0x20, 0, 0x20, 1, 0x41, 0, 0x11, RUN, 0] },
      'wasm/trap',
      /./,
    ],
    [
      'a call of another type',
      {
        tables: [[0x70, 1, 1, 1]],
        elements: [[0, 0x41, 0, 0x0b, 1, 0]],
        run: [0x20, 0, 0x20, 1, 0x41, 0, 0x11, RUN, 0],
      },
      'wasm/trap',
      /./,
    ],
    [
      'data beyond the memory',
      { data: [Uint8Array.of(0, 0x41, ...sleb(65_535), 0x0b, 2, 1, 1)] },
      'wasm/trap',
      /./,
    ],
    [
      'elements beyond the table',
      { tables: [[0x70, 1, 1, 1]], elements: [[0, 0x41, 1, 0x0b, 1, 0]] },
      'wasm/trap',
      /./,
    ],
    ['alloc beyond the memory', { alloc: at(65_535) }, 'wasm/bounds', /alloc .* 3 bytes at 65535/],
    ['alloc at a negative address', { alloc: at(-1) }, 'wasm/bounds', /at 4294967295/],
    ['alloc without room', { alloc: at(0) }, 'wasm/bounds', /no room/],
    ['alloc that traps', { alloc: { type: ALLOC, code: [0x00] } }, 'wasm/trap', /./],
    ['output beyond the memory', { run: range(65_535, 2) }, 'wasm/bounds', /run .* 2 bytes at 65535/],
    ['output that wraps around', { run: range(0xffff_ffff, 1000) }, 'wasm/bounds', /at 4294967295/],
    [
      'output over the limit',
      { run: range(0, 1001), limits: { outputBytes: 1000 } },
      'wasm/output-too-large',
      /1000 bytes/,
    ],
    ['output of 4 GiB', { run: range(0, 0xffff_ffff) }, 'wasm/output-too-large', /4294967295/],
    [
      'emitting beyond the memory',
      { ...emitting, run: [...emit(65_530, 7), ...range(0, 0)] },
      'wasm/bounds',
      /emit/,
    ],
    [
      'emitting a negative length',
      { ...emitting, run: [...emit(0, -1), ...range(0, 0)] },
      'wasm/output-too-large',
      /./,
    ],
    [
      'emitting without an end',
      { ...emitting, run: forever(emit(0, 0)) },
      'wasm/output-too-large',
      /1024 emitted states/,
    ],
    [
      'emitting much',
      { ...emitting, run: forever(emit(0, 60_000)) },
      'wasm/output-too-large',
      /1048576 bytes/,
    ],
    [
      'emitting and answering much',
      { ...emitting, run: [...emit(0, 600), ...range(0, 600)], limits: { outputBytes: 1000 } },
      'wasm/output-too-large',
      /1200/,
    ],
    ['a record over the limit', { limits: { recordBytes: 2 } }, 'wasm/record-too-large', /2 bytes/],
  ]

  it.each(cases)('%s', (_, work, code, message) => {
    const error = outcome(work)
    expect(code.split('|')).toContain(error.code)
    expect(error.message).toMatch(message)
  })

  it('a memory that grows as far as it may, in every record', () => {
    const grow = [
      0x41,
      ...lebBytes(63),
      0x40,
      0,
      0x1a,
      0x41,
      0,
      0x41,
      1,
      0x41,
      ...sleb(64 * 65_536),
      0xfc,
      11,
      0,
    ]
    const module = load({ memory: [1, 1, 64], run: [...grow, ...range(4_000_000, 1)] })
    for (let i = 0; i < 60; i++) expect(runRecord(module, record).output).toEqual(Uint8Array.of(1))
  })
})
