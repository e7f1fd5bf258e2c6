/**
 * JSON from anybody: bounded in length and in depth before it is parsed, because a deep one exhausts the stack of a
 * parser.
 */
import { AssayError } from '../core/errors.ts'

/** Brackets outside of texts nest at most this deep in receipts and their bundles. */
export const MAX_JSON_DEPTH = 32

/** Throws 'receipt/malformed' for what is too long, too deep, not UTF-8, or no JSON. `what` names it in the message. */
export function parseShallowJson(
  input: string | Uint8Array,
  { what, maxBytes }: { readonly what: string; readonly maxBytes: number },
): unknown {
  if (input.length > maxBytes) {
    throw new AssayError(
      'receipt/malformed',
      `${what}: expected at most ${maxBytes} bytes, got ${input.length}`,
    )
  }
  try {
    const text = typeof input === 'string' ? input : new TextDecoder('utf-8', { fatal: true }).decode(input)
    if (isShallow(text)) return JSON.parse(text)
  } catch {
    // Told below, in one form.
  }
  throw new AssayError('receipt/malformed', `${what}: expected JSON of at most ${MAX_JSON_DEPTH} levels`)
}

function isShallow(text: string): boolean {
  let depth = 0
  let inText = false
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (inText) {
      if (character === '\\') at += 1
      else if (character === '"') inText = false
    } else if (character === '"') inText = true
    else if (character === '[' || character === '{') depth += 1
    else if (character === ']' || character === '}') depth -= 1
    if (depth > MAX_JSON_DEPTH) return false
  }
  return true
}
