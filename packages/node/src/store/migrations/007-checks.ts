/**
 * Checks of the verifier that fail wait before they are tried again, and are given up after some attempts
 * (coordinator/life/check-attempts.ts). Those of before are due at once.
 */
export const CHECKS = [
  `ALTER TABLE verification ADD COLUMN due_at timestamptz NOT NULL DEFAULT '-infinity'`,
  // Not looked through: the old states are all among the new ones.
  `ALTER TABLE verification DROP CONSTRAINT verification_state_check, ADD CONSTRAINT verification_state_check
     CHECK (state IN ('queued', 'leased', 'verified', 'rejected', 'cancelled', 'abandoned')) NOT VALID`,
  `CREATE INDEX verification_due ON verification (due_at, dispatch_id) WHERE state = 'queued'`,
  `DROP INDEX verification_queue`,
  `CREATE INDEX verification_tried ON verification (attempts) WHERE state = 'queued' AND attempts > 1`,
] as const
