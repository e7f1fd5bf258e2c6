/**
 * Records of named tensors, such as the outputs of a model for one input, and their canonical encoding.
 *
 *     "tensors" ‖ version 1 ‖ count u32 ‖ count × (name length u32 ‖ name ‖ tensor length u64 ‖ tensor)
 *
 * Integers come most significant byte first; names rise strictly by their UTF-8 bytes, so that one record
 * has one encoding; a tensor is encoded as in tensor.ts.
 */
import { concatBytes, equalBytes, utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import {
  byteReader,
  compareBytes,
  decodeText,
  isPlainObject,
  isWellFormed,
  malformed,
  setLength,
} from './binary.ts'
import { assertTensor, decodeTensor, prepareTensor, type Tensor, writeTensor } from './tensor.ts'

/** Tensors by name, such as the outputs of a model. */
export type NamedTensors = { readonly [name: string]: Tensor }

/** Tensors in one record; models have a handful of outputs. */
export const MAX_TENSORS = 4096
/** Length of a tensor's name in UTF-8 bytes; generated graphs reach a few hundred. */
export const MAX_NAME_BYTES = 1024

const MAGIC = concatBytes(utf8('tensors'), Uint8Array.of(1))
/** At most 1 KiB each. */
const MAX_KNOWN_NAMES = 256
const knownNames = new Map<string, Uint8Array>()

/** The canonical bytes of a record of named tensors. Written in one piece: this runs once for each state. */
export function encodeTensors(tensors: NamedTensors): Uint8Array {
  assertNamedTensors(tensors)
  const parts = Object.keys(tensors).map((name) => ({
    key: nameBytes(name),
    ...prepareTensor(tensors[name]!),
  }))
  if (parts.length > 1) parts.sort((a, b) => compareBytes(a.key, b.key))
  const size = parts.reduce((sum, { key, length }) => sum + 12 + key.length + length, MAGIC.length + 4)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  view.setUint32(MAGIC.length, parts.length)
  let offset = MAGIC.length + 4
  for (const part of parts) {
    view.setUint32(offset, part.key.length)
    bytes.set(part.key, offset + 4)
    offset += 4 + part.key.length
    setLength(view, offset, part.length)
    writeTensor(part, { bytes, view, offset: offset + 8 })
    offset += 8 + part.length
  }
  return bytes
}

/** UTF-8 of a name. A run encodes the same few names once for each state, so the last ones are kept. */
function nameBytes(name: string): Uint8Array {
  let bytes = knownNames.get(name)
  if (bytes === undefined) {
    bytes = utf8(name)
    if (knownNames.size >= MAX_KNOWN_NAMES) knownNames.clear()
    knownNames.set(name, bytes)
  }
  return bytes
}

/** Strict inverse of `encodeTensors`. Same errors as `decodeTensor`. */
export function decodeTensors(bytes: Uint8Array, options: { readonly maxBytes: number }): NamedTensors {
  if (bytes.length > options.maxBytes) {
    throw new AssayError(
      'state/too-large',
      `expected at most ${options.maxBytes} bytes of tensors, got ${bytes.length}`,
    )
  }
  const read = byteReader(bytes)
  if (!equalBytes(read.take(MAGIC.length), MAGIC)) throw malformed('the bytes do not open as tensors')
  const count = read.u32()
  if (count > MAX_TENSORS) throw malformed(`expected at most ${MAX_TENSORS} tensors, got ${count}`)
  const entries: [string, Tensor][] = []
  let previous: Uint8Array | undefined
  for (let i = 0; i < count; i++) {
    const key = read.take(read.u32())
    if (previous !== undefined && compareBytes(previous, key) >= 0) {
      throw malformed('expected tensor names in strictly rising order')
    }
    previous = key
    entries.push([decodeText(key), decodeTensor(read.take(read.u64()), options)])
  }
  read.end()
  const tensors = Object.fromEntries(entries)
  assertNamedTensors(tensors)
  return tensors
}

/** Throws `state/type`, `state/shape` or `state/too-large` for what is not a record of named tensors. */
export function assertNamedTensors(value: unknown): asserts value is NamedTensors {
  if (!isPlainObject(value)) {
    throw new AssayError('state/type', `expected an object of tensors by name`)
  }
  const names = Object.keys(value)
  if (names.length > MAX_TENSORS) {
    throw new AssayError('state/too-large', `expected at most ${MAX_TENSORS} tensors, got ${names.length}`)
  }
  for (const name of names) {
    if (
      name.length === 0 ||
      !isWellFormed(name) ||
      name.length > MAX_NAME_BYTES ||
      nameBytes(name).length > MAX_NAME_BYTES
    ) {
      throw new AssayError('state/type', `expected tensor names of 1 to ${MAX_NAME_BYTES} bytes of Unicode`)
    }
    assertTensor((value as { [name: string]: unknown })[name])
  }
}
