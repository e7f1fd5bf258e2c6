/**
 * What is deleted after a time, where an operator wants that (coordinator/retention.ts).
 *
 * A blob is needed until the last deadline of the jobs that were taken with it; blobs of before are needed for a month
 * yet, the longest that a job may take.
 */
export const RETENTION = [
  // Its runs and events are gone; the job and its receipt stay.
  `ALTER TABLE job ADD COLUMN pruned_at timestamptz`,
  `CREATE INDEX job_to_prune ON job (ended_at) WHERE ended_at IS NOT NULL AND pruned_at IS NULL`,
  `ALTER TABLE blob_owner ADD COLUMN needed_until timestamptz NOT NULL DEFAULT now() + interval '31 days'`,
  `ALTER TABLE blob_owner ALTER COLUMN needed_until SET DEFAULT now()`,
  // Its owner has it no more, and may have it again as long as it is there.
  `ALTER TABLE blob_owner ADD COLUMN dropped_at timestamptz`,
  `CREATE INDEX blob_owner_by_need ON blob_owner (needed_until) WHERE dropped_at IS NULL`,
  `CREATE INDEX blob_owner_dropped ON blob_owner (dropped_at) WHERE dropped_at IS NOT NULL`,
  `CREATE INDEX dispatch_by_proof ON dispatch ((sampling->'proof'->>'cid')) WHERE sampling->'proof' ? 'cid'`,
] as const
