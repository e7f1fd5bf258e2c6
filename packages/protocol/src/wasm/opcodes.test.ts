import { describe, expect, it } from 'vitest'
import { codeOf } from '../core/testing/code-of.ts'
import { BULK_IMMEDIATES, IMMEDIATE, PLAIN_IMMEDIATES, PLAIN_NANS, VECTOR_IMMEDIATES } from './opcodes.ts'
import { readModule } from './sections.ts'
import { ALLOC, at, buildModule, ECHO, lebBytes, NOTHING, RUN } from './testing/build.ts'

/** A function with this code, in a module that has what instructions can refer to. */
function moduleWith(code: readonly number[]): Uint8Array {
  return buildModule({
    functions: [at(16), { type: RUN, code: ECHO }, { type: NOTHING, code, locals: [0x7f] }],
    tables: [[0x70, 1, 1, 4]],
    globals: [[0x7f, 1, 0x41, 0, 0x0b]],
    elements: [[3, 0, 1, ALLOC]],
    data: [Uint8Array.of(1, 1, 9)],
  })
}

const ours = (bytes: Uint8Array) => codeOf(() => readModule(bytes))
const engines = (bytes: Uint8Array) => WebAssembly.validate(bytes as Uint8Array<ArrayBuffer>)

/** What some engines know beyond WebAssembly 2.0: exceptions, tail calls, garbage collection, threads. */
const PROPOSED = [
  0x06, 0x07, 0x08, 0x09, 0x0a, 0x12, 0x13, 0x14, 0x15, 0x18, 0x19, 0x1f, 0xd3, 0xd4, 0xd5, 0xd6, 0xfb, 0xfe,
]
/** What newer engines accept behind instructions of WebAssembly 2.0: several memories, types of references. */
const PROPOSED_OPERANDS = /second memory|value type/
/** First bytes of what follows an opcode; zeros follow those. */
const FIRST = [[], [0x40], [1, 0x7f], [0x70]]
const MOST_BYTES = 17

/**
 * Code where anything type-checks, since it cannot be reached: the opcode, so many bytes, and `unreachable`. One
 * more byte is `unreachable` again, so that the shortest that an engine accepts is how long the instruction is.
 */
function* probes(opcode: readonly number[]): Generator<Uint8Array> {
  for (const first of opcode.length === 1 ? FIRST : [[]]) {
    for (const close of [[], [0x0b]]) {
      for (let more = 0; more <= MOST_BYTES; more++) {
        yield moduleWith([0x00, ...opcode, ...first, ...Array<number>(more).fill(0), 0x00, ...close])
      }
    }
  }
}

interface Found {
  /** Modules that the engine accepts and we do not, or read otherwise. */
  readonly disputed: number
  readonly accepted: number
}

function compare(opcode: readonly number[]): Found {
  let disputed = 0
  let accepted = 0
  for (const module of probes(opcode)) {
    if (!engines(module)) continue
    const { value, message = '' } = ours(module)
    if (value !== undefined) accepted += 1
    else if (!PROPOSED_OPERANDS.test(message)) disputed += 1
  }
  return { disputed, accepted }
}

const TABLES = [
  ['without a prefix', [], PLAIN_IMMEDIATES, 256],
  ['after 0xfc', [0xfc], BULK_IMMEDIATES, 64],
  ['after 0xfd', [0xfd], VECTOR_IMMEDIATES, 0x140],
] as const

describe.each(TABLES)('instructions %s', (_, prefix, immediates, opcodes) => {
  it('are those that the engine accepts, as long as it reads them, but for proposals', () => {
    const faults: string[] = []
    for (let opcode = 0; opcode < opcodes; opcode++) {
      const isPrefix = prefix.length === 0 && (opcode === 0xfc || opcode === 0xfd)
      // `else` and `end` have no probe: they close what another has opened.
      if (isPrefix || (prefix.length === 0 && (opcode === 0x05 || opcode === 0x0b))) continue
      const { disputed, accepted } = compare([...prefix, ...(prefix.length ? lebBytes(opcode) : [opcode])])
      const isListed = (immediates[opcode] ?? 0) !== IMMEDIATE.refused
      const isProposed =
        prefix.length === 0 ? PROPOSED.includes(opcode) : prefix[0] === 0xfd && opcode >= 0x100
      const name = `${prefix.join()} 0x${opcode.toString(16)}`
      if (isListed && (accepted === 0 || disputed > 0)) faults.push(`${name} is listed, and read otherwise`)
      if (!isListed && accepted > 0) faults.push(`${name} is not listed, and accepted`)
      if (!isListed && disputed > 0 && !isProposed) faults.push(`${name} is missing`)
    }
    expect(faults).toEqual([])
  })
})

describe('what engines may differ on', () => {
  it.each([
    ['relaxed SIMD', [0xfd, 0x80, 0x02], /relaxed/],
    ['half-precision SIMD', [0xfd, 0xa0, 0x02], /half-precision/],
    ['threads', [0xfe, 0x03, 0x00], /threads/],
    ['exceptions', [0x06, 0x40, 0x0b], /exceptions/],
    ['tail calls', [0x12, 0], /tail calls/],
    ['garbage collection', [0xfb, 0x00, 0x00], /garbage collection/],
    ['a typed block beyond 2.0', [0x02, 0x6e, 0x0b], /block type 0x6e/],
    ['another memory, in a load', [0x41, 0, 0x28, 0x42, 1, 0, 0x1a], /second memory/],
    ['another memory, in a fill', [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 1], /second memory/],
    ['another memory, in a copy', [0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 1], /second memory/],
    ['another memory, in a size', [0x3f, 1, 0x1a], /second memory/],
  ])('%s', (_, code, message) => {
    expect(codeOf(() => readModule(moduleWith(code)))).toMatchObject({
      code: 'wasm/feature',
      message: expect.stringMatching(message),
    })
  })

  it.each([
    ['arithmetic of floats', [0x43, 0, 0, 0, 0, 0x91, 0x1a], true],
    ['arithmetic of vectors of floats', [0xfd, 12, ...Array(16).fill(0), 0xfd, 0xe3, 0x01, 0x1a], true],
    ['moving and comparing floats', [0x43, 0, 0, 0, 0, 0x8c, 0x43, 0, 0, 0, 0, 0x5d, 0x1a], false],
    ['integers in vectors', [0xfd, 12, ...Array(16).fill(0), 0xfd, 0xa1, 0x01, 0x1a], false],
  ])('NaN: %s', (_, code, expected) => {
    const module = moduleWith(code)
    expect(engines(module)).toBe(true)
    expect(readModule(module).usesFloats).toBe(expected)
  })

  it('has no operation of floats that is both listed as making NaN and free of them', () => {
    // abs, neg and copysign of both widths are defined on bits.
    for (const opcode of [0x8b, 0x8c, 0x98, 0x99, 0x9a, 0xa6]) expect(PLAIN_NANS[opcode]).toBe(0)
  })
})
