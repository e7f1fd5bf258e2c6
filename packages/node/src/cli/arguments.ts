/**
 * Option values: text from a command line to numbers and bytes, refused with what was expected.
 */

import { fromHex } from 'assay/core/bytes'
import { InvalidArgumentError } from 'commander'

/** `1000000`, `1_000_000` or `1e6`. */
export function countFrom(least: number): (text: string) => number {
  return (text) => {
    const value = numberOf(text)
    if (!Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`Expected a whole number of at least ${least}, got ${quote(text)}.`)
    }
    return value
  }
}

/** A share or probability, as `0.05` or `5%`: above 0 and at most 1, or as the bounds say. */
export function shareIn(range: 'above 0' | 'above 0, below 1' | 'from 0'): (text: string) => number {
  return (text) => {
    const trimmed = text.trim()
    const value = trimmed.endsWith('%') ? numberOf(trimmed.slice(0, -1)) / 100 : numberOf(trimmed)
    const inside = value <= 1 && (range === 'from 0' ? value >= 0 : value > 0)
    if (!inside || (range === 'above 0, below 1' && value === 1)) {
      const expected = range === 'above 0, below 1' ? range : `${range}, at most 1`
      throw new InvalidArgumentError(`Expected a share ${expected}, such as 0.05 or 5%, got ${quote(text)}.`)
    }
    return value
  }
}

export function hexOf(bytes: number): (text: string) => Uint8Array {
  return (text) => {
    const lower = text.trim().toLowerCase()
    if (!/^[0-9a-f]*$/.test(lower) || lower.length !== 2 * bytes) {
      throw new InvalidArgumentError(
        `Expected ${bytes} bytes as ${2 * bytes} hexadecimal digits, got ${quote(text)}.`,
      )
    }
    return fromHex(lower)
  }
}

/** An amount with an optional unit: `40`, `12.50 EUR`, `3h`. */
export interface Amount {
  readonly value: number
  readonly unit: string
}

export function amountOf(text: string): Amount {
  const [, digits, unit] = /^\s*([0-9_.]+(?:e[+-]?\d+)?)\s*(.*?)\s*$/.exec(text) ?? []
  const value = numberOf(digits ?? '')
  if (!(value >= 0) || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`Expected an amount such as 40 or "12.50 EUR", got ${quote(text)}.`)
  }
  return { value, unit: unit ?? '' }
}

export function finitePositive(text: string): number {
  const value = numberOf(text)
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`Expected a number above 0, got ${quote(text)}.`)
  }
  return value
}

/** NaN for what is no decimal number. */
function numberOf(text: string): number {
  const plain = text.trim().replaceAll('_', '')
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(plain) ? Number(plain) : Number.NaN
}

function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}
