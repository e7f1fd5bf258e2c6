/**
 * Nodes that are not there to take what is kept for them: a lease of theirs ran out, or they said that they leave.
 *
 * Beside `state`, which ends leases: a node that drains is away, and finishes what it has.
 */
export const AWAY = [`ALTER TABLE node ADD COLUMN away boolean NOT NULL DEFAULT false`] as const
