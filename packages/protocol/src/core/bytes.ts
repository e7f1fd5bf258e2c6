/**
 * Bytes: joining, comparing, and their strict text forms.
 */
import { AssayError } from './errors.ts'
import { clipText } from './inspect.ts'

const NO_DIGIT = 16
/** By byte: its two digits. By character code: the digit that it stands for. */
const HEX_OF_BYTE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const DIGIT_OF_CODE = new Uint8Array(128).fill(NO_DIGIT)
for (let digit = 0; digit < 16; digit++) DIGIT_OF_CODE[digit.toString(16).charCodeAt(0)] = digit
/** One foreign character: a search, since a pattern for the whole text overflows the stack at some megabytes. */
const NOT_BASE64 = /[^A-Za-z0-9+/]/
const ALPHABET = utf8('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const PADDING = 0x3d

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const joined = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}

/** From this length on, comparing words pays for the two views. */
const MIN_WORDS_BYTES = 1024
const WORD_BYTES = Uint32Array.BYTES_PER_ELEMENT

/** Equality of public values; not constant in time. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  const isLong = a.length >= MIN_WORDS_BYTES
  const isAligned = a.byteOffset % WORD_BYTES === 0 && b.byteOffset % WORD_BYTES === 0
  const words = isLong && isAligned ? Math.floor(a.length / WORD_BYTES) : 0
  if (words > 0 && !equalItems(wordsOf(a, words), wordsOf(b, words))) return false
  const rest = words * WORD_BYTES
  return rest === 0 ? equalItems(a, b) : equalItems(a.subarray(rest), b.subarray(rest))
}

function wordsOf({ buffer, byteOffset }: Uint8Array, count: number): Uint32Array {
  return new Uint32Array(buffer, byteOffset, count)
}

function equalItems(a: Uint8Array | Uint32Array, b: Uint8Array | Uint32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** `value` as eight bytes, most significant first. `value` is a safe integer >= 0. */
export function u64be(value: number): Uint8Array {
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new RangeError(`expected a safe integer >= 0, got ${value}`)
  }
  const bytes = new Uint8Array(8)
  // Division, as bits of numbers end at the 32nd.
  for (let at = 7, rest = value; rest > 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256
  return bytes
}

export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += HEX_OF_BYTE[bytes[i]!]
  return text
}

/** Strict: lower case, even length. */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1)
  // One bit beyond a digit is set for whatever is none.
  let foreign = text.length & 1
  for (let i = 0; i < bytes.length; i++) {
    const high = digitAt(text, 2 * i)
    const low = digitAt(text, 2 * i + 1)
    foreign |= (high | low) & NO_DIGIT
    bytes[i] = (high << 4) | low
  }
  if (foreign === 0) return bytes
  throw new AssayError(
    'bytes/malformed',
    `expected lower-case hexadecimal of even length, got ${clipText(text)}`,
  )
}

function digitAt(text: string, at: number): number {
  return DIGIT_OF_CODE[text.charCodeAt(at)] ?? NO_DIGIT
}

/**
 * Standard alphabet, padded (RFC 4648, section 4). By table, because proofs have megabytes: characters from
 * String.fromCharCode through btoa took ten times as long.
 */
export function toBase64(bytes: Uint8Array): string {
  const whole = bytes.length - (bytes.length % 3)
  const text = new Uint8Array(4 * Math.ceil(bytes.length / 3)).fill(PADDING)
  let at = 0
  for (let i = 0; i < whole; i += 3, at += 4) {
    const word = (bytes[i]! << 16) | (bytes[i + 1]! << 8) | bytes[i + 2]!
    text[at] = ALPHABET[word >> 18]!
    text[at + 1] = ALPHABET[(word >> 12) & 63]!
    text[at + 2] = ALPHABET[(word >> 6) & 63]!
    text[at + 3] = ALPHABET[word & 63]!
  }
  if (whole < bytes.length) {
    const second = whole + 1 < bytes.length ? bytes[whole + 1]! : null
    const word = (bytes[whole]! << 16) | ((second ?? 0) << 8)
    text[at] = ALPHABET[word >> 18]!
    text[at + 1] = ALPHABET[(word >> 12) & 63]!
    if (second !== null) text[at + 2] = ALPHABET[(word >> 6) & 63]!
  }
  return new TextDecoder().decode(text)
}

/** Strict: standard alphabet, padded, no white space, unused bits zero. */
export function fromBase64(text: string): Uint8Array {
  const refuse = () =>
    new AssayError('bytes/malformed', `expected standard padded base64, got ${clipText(text)}`)
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  if (text.length % 4 !== 0 || NOT_BASE64.test(text.slice(0, text.length - padding))) throw refuse()
  const binary = atob(text)
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i)
  if (
    text.length > 0 &&
    toBase64(bytes.subarray(bytes.length - ((bytes.length - 1) % 3) - 1)) !== text.slice(-4)
  ) {
    throw refuse()
  }
  return bytes
}
