/**
 * NumPy's `.npy` files: strict decode and encode.
 *
 * Format: "numpy.lib.format" in the NumPy reference (NEP 1), versions 1.0, 2.0 and 3.0. The header is a
 * Python dictionary; it is tokenised, never evaluated, and only the three keys of the format are known.
 * Objects (pickles) and structured types are refused; Fortran order and big-endian data are converted.
 *
 * Threat: hostile files. The header's shape must fit the bytes that follow before anything is allocated.
 */
import { AssayError } from '../core/errors.ts'
import { type Dtype, MAX_RANK, type NumericData, type Tensor, tensor } from '../state/tensor.ts'
import { MAX_INPUT_BYTES } from './limits.ts'

/** NumPy's own limit on a header that it parses safely (`max_header_size`). */
export const MAX_NPY_HEADER_BYTES = 10_000
/** Characters of one text element: a fixed-width column is padded to its longest text, and this bounds the padding. */
const MAX_TEXT_WIDTH = 1 << 16

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]
const HEADER_ALIGNMENT = 64
const TOKEN = /\s*(?:'([^'\\]*)'|"([^"\\]*)"|(True|False)|(\d{1,16})L?|([{}():,]))/y
const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** NumPy's type characters without byte order: [our dtype, bytes an element, class of the data]. */
const NUMPY_TYPES = {
  f2: ['float16', 2, Uint16Array],
  f4: ['float32', 4, Float32Array],
  f8: ['float64', 8, Float64Array],
  i1: ['int8', 1, Int8Array],
  i2: ['int16', 2, Int16Array],
  i4: ['int32', 4, Int32Array],
  i8: ['int64', 8, BigInt64Array],
  u1: ['uint8', 1, Uint8Array],
  u2: ['uint16', 2, Uint16Array],
  u4: ['uint32', 4, Uint32Array],
  u8: ['uint64', 8, BigUint64Array],
  b1: ['bool', 1, Uint8Array],
} as const

type NumpyType = keyof typeof NUMPY_TYPES

interface NpyHeader {
  readonly descr: string
  readonly fortranOrder: boolean
  readonly shape: readonly number[]
}

/**
 * One array. Where order and alignment allow, its data is a view of `bytes`: do not change them afterwards.
 *
 * @throws AssayError `input/malformed`, `input/unsupported-type`, `input/too-large`.
 */
export function decodeNpy(bytes: Uint8Array, options: { readonly maxBytes?: number } = {}): Tensor {
  const { maxBytes = MAX_INPUT_BYTES } = options
  if (bytes.length > maxBytes) {
    throw new AssayError(
      'input/too-large',
      `an array file of ${bytes.length} bytes is above the cap of ${maxBytes}`,
    )
  }
  const { header, dataStart } = readHeader(bytes)
  const count = header.shape.reduce((product, dim) => product * dim, 1)
  // A Node Buffer is a Uint8Array whose slice() does not copy: work on a plain one.
  const body = new Uint8Array(bytes.buffer, bytes.byteOffset + dataStart, bytes.length - dataStart)
  const kind = header.descr.slice(1)
  const bigEndian = header.descr[0] === '>'
  if (/^U\d{1,6}$/.test(kind)) {
    const texts = readTexts(body, { count, width: Number(kind.slice(1)), bigEndian })
    return tensor('string', header.shape, header.fortranOrder ? fromFortran(texts, header.shape) : texts)
  }
  if (!Object.hasOwn(NUMPY_TYPES, kind)) throw unsupported(header.descr)
  const [dtype, width, Data] = NUMPY_TYPES[kind as NumpyType]
  assertBodyLength(body, count * width)
  const swap = width > 1 && bigEndian === LITTLE_ENDIAN
  const data = readNumbers(body, { width, swap, Data })
  if (dtype === 'bool') assertBits(body)
  return tensor(dtype, header.shape, header.fortranOrder ? fromFortran(data, header.shape) : data)
}

/** Version 1.0, C order, little-endian; what `numpy.save` writes, byte for byte, for the same array. */
export function encodeNpy(value: Tensor): Uint8Array {
  const { descr, body } = value.dtype === 'string' ? encodeTexts(value) : encodeNumbers(value)
  const shape = value.shape.length === 1 ? `(${value.shape[0]},)` : `(${value.shape.join(', ')})`
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`
  const prefix = MAGIC.length + 4
  const headerBytes = Math.ceil((prefix + text.length + 1) / HEADER_ALIGNMENT) * HEADER_ALIGNMENT - prefix
  const bytes = new Uint8Array(prefix + headerBytes + body.length)
  bytes.set(MAGIC)
  bytes.set([1, 0, headerBytes & 0xff, headerBytes >>> 8], MAGIC.length)
  const padded = `${text.padEnd(headerBytes - 1)}\n`
  for (let i = 0; i < headerBytes; i++) bytes[prefix + i] = padded.charCodeAt(i)
  bytes.set(body, prefix + headerBytes)
  return bytes
}

function readHeader(bytes: Uint8Array): { header: NpyHeader; dataStart: number } {
  if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw malformed('expected the .npy signature 93 4E 55 4D 50 59 at the start')
  }
  const [major, minor] = [bytes[6]!, bytes[7]!]
  if (major < 1 || major > 3 || minor !== 0) {
    throw malformed(`expected .npy version 1.0, 2.0 or 3.0, got ${major}.${minor}`)
  }
  const wide = major > 1
  if (wide && bytes.length < 12) throw malformed('truncated inside the header length')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true)
  const start = wide ? 12 : 10
  if (length > MAX_NPY_HEADER_BYTES) {
    throw new AssayError(
      'input/too-large',
      `an .npy header of ${length} bytes is above ${MAX_NPY_HEADER_BYTES}`,
    )
  }
  if (bytes.length < start + length) throw malformed(`truncated inside the header of ${length} bytes`)
  const text = new TextDecoder('latin1').decode(bytes.subarray(start, start + length))
  return { header: parseHeader(text), dataStart: start + length }
}

function parseHeader(text: string): NpyHeader {
  if (/'descr'\s*:\s*\[/.test(text)) throw unsupported('a structured type')
  const next = tokens(text)
  const fields = new Map<string, string | boolean | readonly number[]>()
  expectToken(next(), '{')
  for (let token = next(); token !== '}'; token = next()) {
    if (typeof token !== 'object') throw malformed(`expected a key in the .npy header, got ${String(token)}`)
    if (fields.has(token.text)) throw malformed(`the .npy header has '${token.text}' twice`)
    expectToken(next(), ':')
    fields.set(token.text, parseValue(next))
    const after = next()
    if (after === '}') break
    expectToken(after, ',')
  }
  if (next() !== undefined) throw malformed('the .npy header goes on after its dictionary')
  const [descr, fortranOrder, shape] = ['descr', 'fortran_order', 'shape'].map((key) => fields.get(key))
  if (
    fields.size !== 3 ||
    typeof descr !== 'string' ||
    typeof fortranOrder !== 'boolean' ||
    !isShape(shape)
  ) {
    throw malformed("expected an .npy header with exactly 'descr', 'fortran_order' and 'shape'")
  }
  if (!/^[<>|=]/.test(descr)) throw unsupported(descr)
  return { descr: descr[0] === '=' ? `<${descr.slice(1)}` : descr, fortranOrder, shape }
}

/** A quoted text, a boolean, an integer, one of `{}():,`, or undefined at the end. */
type Token = { readonly text: string } | boolean | number | string | undefined

function tokens(text: string): () => Token {
  let position = 0
  return () => {
    TOKEN.lastIndex = position
    const match = TOKEN.exec(text)
    if (match === null) {
      if (text.slice(position).trim() === '') return undefined
      throw malformed(`the .npy header cannot be read at character ${position}`)
    }
    position = TOKEN.lastIndex
    const [, single, double, boolean, integer, mark] = match
    if (boolean !== undefined) return boolean === 'True'
    if (integer !== undefined) return Number(integer)
    return mark ?? { text: single ?? double ?? '' }
  }
}

function parseValue(next: () => Token): string | boolean | readonly number[] {
  const token = next()
  if (typeof token === 'boolean') return token
  if (typeof token === 'object') return token.text
  expectToken(token, '(')
  const shape: number[] = []
  for (let item = next(); item !== ')'; item = next()) {
    if (typeof item !== 'number' || !Number.isSafeInteger(item)) {
      throw malformed(`expected a dimension in the .npy shape, got ${String(item)}`)
    }
    if (shape.push(item) > MAX_RANK) throw malformed(`expected at most ${MAX_RANK} dimensions`)
    const after = next()
    if (after === ')') break
    expectToken(after, ',')
  }
  return shape
}

function expectToken(token: Token, mark: string): void {
  if (token !== mark) {
    const got = typeof token === 'object' ? `'${token.text}'` : String(token)
    throw malformed(`expected ${mark} in the .npy header, got ${got}`)
  }
}

function isShape(value: unknown): value is readonly number[] {
  return Array.isArray(value)
}

function assertBodyLength(body: Uint8Array, expected: number): void {
  if (body.length !== expected) {
    throw malformed(`expected ${expected} bytes of data for the shape and type, got ${body.length}`)
  }
}

type NumberClass = (typeof NUMPY_TYPES)[NumpyType][2]

function readNumbers(
  body: Uint8Array,
  { width, swap, Data }: { readonly width: number; readonly swap: boolean; readonly Data: NumberClass },
): NumericData {
  const aligned = body.byteOffset % width === 0 && !swap ? body : body.slice()
  if (swap) swapBytes(aligned, width)
  return new Data(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.length / width)
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse()
}

function assertBits(body: Uint8Array): void {
  const at = body.findIndex((byte) => byte > 1)
  if (at !== -1) throw malformed(`expected bool elements of 0 or 1, got ${body[at]} at element ${at}`)
}

interface TextLayout {
  readonly count: number
  readonly width: number
  readonly bigEndian: boolean
}

/** Fixed-width UCS-4, padded with NUL. */
function readTexts(body: Uint8Array, { count, width, bigEndian }: TextLayout): string[] {
  if (width === 0 || width > MAX_TEXT_WIDTH) throw malformed(`a text width of ${width} is out of range`)
  assertBodyLength(body, count * width * 4)
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  const texts: string[] = []
  for (let i = 0; i < count; i++) {
    let text = ''
    let padding = ''
    for (let j = 0; j < width; j++) {
      const point = view.getUint32((i * width + j) * 4, !bigEndian)
      if (point === 0) {
        padding += '\0'
        continue
      }
      if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) {
        throw malformed(`element ${i} holds ${point}, which is not a Unicode character`)
      }
      text += padding + String.fromCodePoint(point)
      padding = ''
    }
    texts.push(text)
  }
  return texts
}

/** From column-major to row-major. */
function fromFortran<T extends NumericData | string[]>(data: T, shape: readonly number[]): T {
  const reordered = data.slice() as T
  const strides: number[] = []
  let stride = 1
  for (const dim of shape) {
    strides.push(stride)
    stride *= dim
  }
  const index = new Array<number>(shape.length).fill(0)
  let from = 0
  for (let to = 0; to < data.length; to++) {
    reordered[to] = data[from]!
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!
      if (++index[axis]! < shape[axis]!) break
      from -= strides[axis]! * shape[axis]!
      index[axis] = 0
    }
  }
  return reordered
}

function encodeNumbers(value: Tensor): { descr: string; body: Uint8Array } {
  const entry = Object.entries(NUMPY_TYPES).find(([, [dtype]]) => dtype === (value.dtype satisfies Dtype))!
  const [kind, [, width]] = entry
  const data = value.data as NumericData
  const body = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice()
  if (!LITTLE_ENDIAN) swapBytes(body, width)
  return { descr: `${width === 1 ? '|' : '<'}${kind}`, body }
}

function encodeTexts(value: Tensor): { descr: string; body: Uint8Array } {
  const texts = (value.data as readonly string[]).map((text) => Array.from(text, (c) => c.codePointAt(0)!))
  const width = texts.reduce((most, points) => Math.max(most, points.length), 1)
  if (width > MAX_TEXT_WIDTH || width * 4 * texts.length > MAX_INPUT_BYTES) {
    throw new AssayError(
      'input/too-large',
      `${texts.length} texts of up to ${width} characters are above the cap`,
    )
  }
  const view = new DataView(new ArrayBuffer(width * 4 * texts.length))
  for (const [i, points] of texts.entries()) {
    if (points.at(-1) === 0) {
      throw new AssayError(
        'input/unsupported-type',
        `text ${i} ends in NUL, which .npy cannot hold: use .json`,
      )
    }
    for (const [j, point] of points.entries()) view.setUint32((i * width + j) * 4, point, true)
  }
  return { descr: `<U${width}`, body: new Uint8Array(view.buffer) }
}

function malformed(message: string): AssayError {
  return new AssayError('input/malformed', `not a valid .npy file: ${message}`)
}

function unsupported(descr: string): AssayError {
  const why = descr.endsWith('O')
    ? 'Python objects cannot be read safely'
    : 'it is not a number, bool or text type'
  return new AssayError(
    'input/unsupported-type',
    `array type ${JSON.stringify(descr)} is not supported: ${why}; convert it with astype`,
    { detail: { descr } },
  )
}
