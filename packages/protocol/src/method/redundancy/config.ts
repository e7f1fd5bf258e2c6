/**
 * What share of the results runs again, and what is assumed about those who run them.
 */
import * as z from 'zod/mini'
import { parseWith } from '../../core/codec.ts'

/** What is audited, and what its security is stated for. */
export interface RedundancyConfig {
  /** p: share of the segments that a second node runs again, 0 … 1; each is drawn after its commitment. */
  readonly auditRate: number
  /** r: share of the nodes that give the same wrong answer as the cheat, 0 … 1. */
  readonly colludingShare: number
  /** Smallest share of the segments with a wrong result that is to be caught; at least one segment counts. */
  readonly wrongShare: number
  /** Share of honest pairs that differ although nobody cheats: each costs a third run. 0 where bits are equal. */
  readonly mismatchRate: number
}

const probability = z.number().check(z.minimum(0), z.maximum(1))

const configSchema = z.strictObject({
  auditRate: probability,
  colludingShare: probability,
  wrongShare: z.number().check(z.gt(0), z.maximum(1)),
  mismatchRate: probability,
})

/** @throws AssayError 'codec/schema', naming the field. */
export function parseRedundancy(value: unknown): RedundancyConfig {
  return parseWith(configSchema, value, 'redundancy config')
}
