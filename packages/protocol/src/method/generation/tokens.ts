/**
 * Tokens as bytes: u32 each, most significant byte first. In canonical objects an array of numbers would cost
 * an item a token.
 */
import { AssayError } from '../../core/errors.ts'

const WIDTH = 4

export function packTokens(tokens: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(WIDTH * tokens.length)
  const view = new DataView(bytes.buffer)
  for (const [i, token] of tokens.entries()) view.setUint32(WIDTH * i, token)
  return bytes
}

/** @throws AssayError `generation/tokens` where the length is no multiple of four. */
export function unpackTokens(bytes: Uint8Array): number[] {
  if (bytes.length % WIDTH !== 0) {
    throw new AssayError('generation/tokens', `expected ${WIDTH} bytes a token, got ${bytes.length} in all`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Array.from({ length: bytes.length / WIDTH }, (_, i) => view.getUint32(WIDTH * i))
}
