/** For tests: modules put together by hand, from instructions as bytes. */
import { concatBytes, utf8 } from '../../core/bytes.ts'

export const I32 = 0x7f
export const I64 = 0x7e
export const F32 = 0x7d

export interface Type {
  readonly parameters: readonly number[]
  readonly results: readonly number[]
}

export interface Body {
  readonly type: number
  readonly code: readonly number[]
  readonly locals?: readonly number[]
}

/** Sections that are left out have a default that makes a module of work; null leaves one out of the module. */
export interface Parts {
  readonly types?: readonly Type[]
  readonly imports?: readonly Uint8Array[]
  readonly functions?: readonly Body[]
  readonly tables?: readonly (readonly number[])[]
  readonly memory?: readonly number[] | null
  readonly globals?: readonly (readonly number[])[]
  readonly exports?: readonly Uint8Array[]
  readonly start?: number
  readonly elements?: readonly (readonly number[])[]
  readonly data?: readonly Uint8Array[]
  /** Appended as they are: `custom(…)`, or something that no module has. */
  readonly extra?: readonly Uint8Array[]
}

export const ALLOC_TYPE = { parameters: [I32], results: [I32] }
export const RUN_TYPE = { parameters: [I32, I32], results: [I64] }
export const EMIT_TYPE = { parameters: [I32, I32], results: [] }
export const NOTHING_TYPE = { parameters: [], results: [] }

/** Indices into the types that a module has unless told otherwise. */
export const ALLOC = 0
export const RUN = 1
export const EMIT = 2
export const NOTHING = 3

/** `local.get 0; i64.extend_i32_u; i64.const 32; i64.shl; local.get 1; i64.extend_i32_u; i64.or`: the record. */
export const ECHO = [0x20, 0, 0xad, 0x42, 32, 0x86, 0x20, 1, 0xad, 0x84]
/** `alloc` that always answers with this address; 64 must not need a sign. */
export const at = (address: number): Body => ({ type: ALLOC, code: [0x41, ...sleb(address)] })
/** One page. */
export const ONE_PAGE = [1, 1, 1]

/** A module of work: `alloc` answers 16 and `run` with the record, unless `parts` say otherwise. */
export function buildModule(parts: Parts = {}): Uint8Array {
  const imports = parts.imports ?? []
  const {
    types = [ALLOC_TYPE, RUN_TYPE, EMIT_TYPE, NOTHING_TYPE],
    functions = [at(16), { type: RUN, code: ECHO }],
    memory = ONE_PAGE,
    exports = workExports(imports.length),
  } = parts
  return concatBytes(
    Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0),
    list(1, types.map(typeBytes)),
    list(2, imports),
    list(
      3,
      functions.map(({ type }) => leb(type)),
    ),
    list(4, (parts.tables ?? []).map(own)),
    list(5, memory === null ? [] : [own(memory)]),
    list(6, (parts.globals ?? []).map(own)),
    list(7, exports),
    parts.start === undefined ? own([]) : section(8, leb(parts.start)),
    list(9, (parts.elements ?? []).map(own)),
    parts.data === undefined ? own([]) : section(12, leb(parts.data.length)),
    list(10, functions.map(bodyBytes)),
    list(11, parts.data ?? []),
    ...(parts.extra ?? []),
  )
}

export function workExports(firstFunction = 0): Uint8Array[] {
  return [
    exported('memory', 2, 0),
    exported('alloc', 0, firstFunction),
    exported('run', 0, firstFunction + 1),
  ]
}

export function exported(name: string, kind: number, index: number): Uint8Array {
  return concatBytes(text(name), Uint8Array.of(kind), leb(index))
}

/** An import; `description` is its kind and what follows: `[0, type]` for a function. */
export function imported(module: string, name: string, description: readonly number[]): Uint8Array {
  return concatBytes(text(module), text(name), own(description))
}

export const EMIT_IMPORT = imported('assay', 'emit', [0, EMIT])

export function custom(name: string, content: readonly number[]): Uint8Array {
  return section(0, concatBytes(text(name), own(content)))
}

export function section(id: number, content: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(id), leb(content.length), content)
}

/** An active data segment at an address below 64. */
export function dataAt(address: number, content: readonly number[]): Uint8Array {
  return concatBytes(own([0, 0x41, address, 0x0b]), leb(content.length), own(content))
}

export function leb(value: number): Uint8Array {
  return own(lebBytes(value))
}

export function lebBytes(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return [...bytes, rest]
}

/** Signed LEB128 of 32 bits. */
export function sleb(value: number): number[] {
  const bytes: number[] = []
  let rest = value | 0
  while (rest < -64 || rest > 63) {
    bytes.push((rest & 127) | 128)
    rest >>= 7
  }
  return [...bytes, rest & 127]
}

function list(id: number, items: readonly Uint8Array[]): Uint8Array {
  return items.length === 0 ? own([]) : section(id, concatBytes(leb(items.length), ...items))
}

function typeBytes({ parameters, results }: Type): Uint8Array {
  return concatBytes(own([0x60]), counted(parameters), counted(results))
}

/** Locals one to a group; the closing `end` is added. */
function bodyBytes({ code, locals = [] }: Body): Uint8Array {
  const groups = concatBytes(leb(locals.length), ...locals.map((type) => own([1, type])))
  const body = concatBytes(groups, own(code), own([0x0b]))
  return concatBytes(leb(body.length), body)
}

function counted(bytes: readonly number[]): Uint8Array {
  return concatBytes(leb(bytes.length), own(bytes))
}

function text(value: string): Uint8Array {
  return concatBytes(leb(utf8(value).length), utf8(value))
}

function own(bytes: readonly number[]): Uint8Array {
  return Uint8Array.from(bytes)
}
