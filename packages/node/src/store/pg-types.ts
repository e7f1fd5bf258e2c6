/**
 * How values of PostgreSQL come back as JavaScript's.
 *
 * - `int8` is a number, as all counts and credits here are below 2^53. One that is not is an error and is never
 *   rounded. Sums of `int8` are `numeric`, which stays a text: write `sum(x)::int8`.
 * - `bytea` is a plain `Uint8Array` of its own memory.
 * - `timestamptz` is a `Date` (to the millisecond), `json` and `jsonb` are parsed, everything else is as `pg` has it.
 */
import { types } from 'pg'

const INT8 = 20
const INT8_ARRAY = 1016
const BYTEA = 17
const BYTEA_ARRAY = 1001
const TEXT_ARRAY = 1009

type Parser = (text: string) => unknown

const parseBytea = types.getTypeParser(BYTEA) as (text: string) => Uint8Array
/** Of texts, whatever the elements are: escapes, quotes and NULL as the array output has them. */
const parseTexts = types.getTypeParser(TEXT_ARRAY as never) as (text: string) => readonly unknown[]

const PARSERS: ReadonlyMap<number, Parser> = new Map<number, Parser>([
  [INT8, int8],
  [INT8_ARRAY, arrayOf(int8)],
  [BYTEA, bytea],
  [BYTEA_ARRAY, arrayOf(bytea)],
])

/** For the `types` of a connection. */
export const typeParsers = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format !== 'binary' && PARSERS.get(oid)) ||
    types.getTypeParser(oid, format as 'text')) as typeof types.getTypeParser,
}

function int8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`expected an int8 within 2^53 - 1, got ${text}`)
  return value
}

/** A copy: small values would else keep the whole block alive that they were read into. */
function bytea(text: string): Uint8Array {
  return new Uint8Array(parseBytea(text))
}

function arrayOf(parse: Parser): Parser {
  const each = (value: unknown): unknown =>
    Array.isArray(value) ? value.map(each) : value === null ? null : parse(value as string)
  return (text) => parseTexts(text).map(each)
}
