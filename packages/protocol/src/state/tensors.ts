/**
 * Records of named tensors, such as the outputs of a model for one input, and their canonical encoding.
 *
 *     "tensors" ‖ version 1 ‖ count u32 ‖ count × (name length u32 ‖ name ‖ tensor length u64 ‖ tensor)
 *
 * Integers come most significant byte first; names rise strictly by their UTF-8 bytes, so that one record
 * has one encoding; a tensor is encoded as in tensor.ts.
 */
import { concatBytes, equalBytes, u64be, utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import { byteReader, compareBytes, decodeText, isWellFormed, joinBytes, malformed, u32be } from './binary.ts'
import { assertTensor, decodeTensor, encodeTensor, type Tensor } from './tensor.ts'

/** Tensors by name, such as the outputs of a model. */
export type NamedTensors = { readonly [name: string]: Tensor }

/** Tensors in one record; models have a handful of outputs. */
export const MAX_TENSORS = 4096
/** Length of a tensor's name in UTF-8 bytes; generated graphs reach a few hundred. */
export const MAX_NAME_BYTES = 1024

const MAGIC = concatBytes(utf8('tensors'), Uint8Array.of(1))

/** The canonical bytes of a record of named tensors. */
export function encodeTensors(tensors: NamedTensors): Uint8Array {
  assertNamedTensors(tensors)
  const parts = [MAGIC, u32be(Object.keys(tensors).length)]
  const names = Object.keys(tensors).map((name) => ({ name, bytes: utf8(name) }))
  names.sort((a, b) => compareBytes(a.bytes, b.bytes))
  for (const { name, bytes } of names) {
    const encoded = encodeTensor(tensors[name]!)
    parts.push(u32be(bytes.length), bytes, u64be(encoded.length), encoded)
  }
  return joinBytes(parts)
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
    const nameBytes = read.take(read.u32())
    if (previous !== undefined && compareBytes(previous, nameBytes) >= 0) {
      throw malformed('expected tensor names in strictly rising order')
    }
    previous = nameBytes
    entries.push([decodeText(nameBytes), decodeTensor(read.take(read.u64()), options)])
  }
  read.end()
  const tensors = Object.fromEntries(entries)
  assertNamedTensors(tensors)
  return tensors
}

/** Throws `state/type`, `state/shape` or `state/too-large` for what is not a record of named tensors. */
export function assertNamedTensors(value: unknown): asserts value is NamedTensors {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
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
      utf8(name).length > MAX_NAME_BYTES
    ) {
      throw new AssayError('state/type', `expected tensor names of 1 to ${MAX_NAME_BYTES} bytes of Unicode`)
    }
    assertTensor((value as { [name: string]: unknown })[name])
  }
}
