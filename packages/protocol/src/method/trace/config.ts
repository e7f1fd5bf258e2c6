/**
 * How many nodes a challenge draws.
 */
import * as z from 'zod/mini'
import { parseWith } from '../../core/codec.ts'
import { drawsFor } from './security.ts'

/**
 * - `draws`: exactly so many;
 * - `confidence` and `skipped`: catch, with this probability, a prover that skipped at least this share of the
 *   work. `grindingBits` adds draws against a prover that may try 2^bits commitments (non-interactive form).
 */
export type TraceAsk =
  | { readonly draws: number }
  | { readonly confidence: number; readonly skipped: number; readonly grindingBits?: number }

/** More draws than this recheck most models in whole many times over. */
export const MAX_DRAWS = 100_000

const inside = z.number().check(z.gt(0), z.lt(1))

const ask = z.union([
  z.strictObject({ draws: z.int().check(z.minimum(0), z.maximum(MAX_DRAWS)) }),
  z.strictObject({
    confidence: inside,
    skipped: z.number().check(z.gt(0), z.maximum(1)),
    grindingBits: z.optional(z.number().check(z.minimum(0), z.maximum(128))),
  }),
])

/** @throws AssayError `codec/schema` for values out of range, `trace/config` where it takes too many draws. */
export function drawsOf(asked: TraceAsk): number {
  const checked = parseWith(ask, asked, 'TraceAsk')
  if ('draws' in checked) return checked.draws
  const { confidence, skipped, grindingBits = 0 } = checked
  return drawsFor({ confidence, skipped, grindingBits }, MAX_DRAWS)
}
