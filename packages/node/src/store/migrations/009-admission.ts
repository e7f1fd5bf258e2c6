/** Admission has a lock of its own, so that the ledger is held for no longer than it takes to post (coordinator/quota.ts). */
export const ADMISSION = [
  // In a function, since a statement sees what was there when it began: the look comes behind the lock.
  `CREATE FUNCTION admission(accounts text[]) RETURNS TABLE (
     name text, jobs_per_minute bigint, queued_segments bigint, open_segments bigint, job_level float8,
     level_at timestamptz, balance bigint
   ) LANGUAGE plpgsql AS $$
   #variable_conflict use_column
   BEGIN
     PERFORM pg_advisory_xact_lock(4702389002);
     RETURN QUERY SELECT submitter.name, submitter.jobs_per_minute, submitter.queued_segments,
         coalesce(usage.open_segments, 0), coalesce(usage.job_level, 0), coalesce(usage.level_at, to_timestamp(0)),
         coalesce(account.balance, 0)
       FROM submitter LEFT JOIN submitter_usage AS usage ON usage.submitter = submitter.name
         LEFT JOIN account ON account.id = 'submitter:' || submitter.name
       WHERE submitter.name = ANY (accounts);
   END $$`,
] as const
