/** Schemas of the small values that messages are made of. */
import * as z from 'zod/mini'
import { isWellFormed } from '../state/binary.ts'

export const MAX_NAME = 128
/** Longest inline value: above it a blob costs less than its copies in database and messages. */
export const MAX_INLINE_BYTES = 16_384

/** Control characters (Cc), written so that the engines of other languages read it in the OpenAPI document. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it must not have
const PRINTABLE = /^[^\x00-\x1f\x7f-\x9f]+$/
/** A name that a person chose: printable, no control characters; never part of a path or of SQL text. */
export const name = z
  .string()
  .check(
    z.minLength(1),
    z.maxLength(MAX_NAME),
    z.regex(PRINTABLE, 'no control characters'),
    z.refine(isWellFormed, 'well-formed Unicode'),
  )
export const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits'))
export const cid = z.string().check(z.regex(/^b[a-z2-7]{58}$/, 'a content address'))
export const uuid = z
  .string()
  .check(z.regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'a UUID in lower case'))
export const count = z.int().check(z.minimum(0), z.maximum(Number.MAX_SAFE_INTEGER))
/** Whole credits. */
export const credits = z.int().check(z.minimum(0), z.maximum(1e15))
export const share = z.number().check(z.minimum(0), z.maximum(1))
/** RFC 3339, in UTC. */
export const time = z.iso.datetime()
/** RFC 3339 on the way in: other languages write an offset where JavaScript writes `Z`. */
export const timeInput = z.iso.datetime({ offset: true })
export const base64 = (maxBytes: number) =>
  z.string().check(z.maxLength(Math.ceil(maxBytes / 3) * 4), z.regex(/^[A-Za-z0-9+/]*={0,2}$/, 'base64'))
export const message = z.string().check(z.maxLength(2048))
/** Opaque; what a page says under `nextCursor` asks for the page after it. */
export const cursor = z.string().check(z.maxLength(256), z.regex(/^[A-Za-z0-9_-]+$/))

/** A small value as it is, or a large one by its address. */
export const valueRef = z.union([
  z.strictObject({ inline: base64(MAX_INLINE_BYTES) }),
  z.strictObject({ cid }),
])
export type ValueRef = z.infer<typeof valueRef>
