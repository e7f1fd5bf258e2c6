/**
 * What must hold of a network's database at rest, whatever happened to it: credits, runs, results and the log, read
 * straight from the tables. Each check gives the rows that break it; an empty list is what a test wants.
 */
import type { Database } from '../../../src/store/database.ts'

const CHECKS = {
  'the sum over all accounts is zero':
    'SELECT sum(balance) FROM account HAVING coalesce(sum(balance), 0) <> 0',
  'balances follow from transfers': `
    SELECT account.id, balance, moved FROM account LEFT JOIN (
      SELECT id, sum(change) AS moved FROM (
        SELECT to_account AS id, amount AS change FROM transfer UNION ALL SELECT from_account, -amount FROM transfer
      ) AS sides GROUP BY id
    ) AS sums USING (id) WHERE balance <> coalesce(moved, 0)`,
  'a job that ended has nothing in escrow': `
    SELECT job.id, sum(CASE WHEN to_account = 'escrow' THEN amount ELSE -amount END) FROM job
    JOIN transfer ON job_id = job.id AND (to_account = 'escrow' OR from_account = 'escrow')
    WHERE ended_at IS NOT NULL GROUP BY job.id
    HAVING sum(CASE WHEN to_account = 'escrow' THEN amount ELSE -amount END) <> 0`,
  'a job pays into escrow once': `
    SELECT job_id, count(*) FROM transfer WHERE to_account = 'escrow' GROUP BY job_id HAVING count(*) <> 1`,
  'a job is refunded at most once': `
    SELECT job_id, count(*) FROM transfer WHERE kind = 'refund' GROUP BY job_id HAVING count(*) > 1`,
  'each node is paid its accepted runs, once': `
    SELECT job.id, paid.node_id, paid.amount, ran.runs FROM job
    JOIN (SELECT job_id, node_id, count(*) AS runs FROM dispatch WHERE state = 'accepted' GROUP BY 1, 2) AS ran
      ON ran.job_id = job.id
    LEFT JOIN (SELECT job_id, node_id, sum(amount) AS amount FROM transfer
      WHERE kind IN ('hold', 'payout') AND from_account IN ('escrow', 'audit-fund') GROUP BY 1, 2) AS paid
      ON paid.job_id = job.id AND paid.node_id = ran.node_id
    WHERE ended_at IS NOT NULL AND coalesce(paid.amount, 0) <> ran.runs * price_per_segment`,
  'an accepted job has one result for each segment': `
    SELECT job.id, segments, count(dispatch.id) FROM job LEFT JOIN dispatch
      ON job_id = job.id AND is_result AND dispatch.state = 'accepted'
    WHERE job.state = 'accepted' GROUP BY job.id
    HAVING count(dispatch.id) <> segments OR count(DISTINCT segment) <> segments OR accepted_segments <> segments`,
  'nothing of a job that ended is under way': `
    SELECT dispatch.id, dispatch.state FROM dispatch JOIN job ON job.id = job_id
    WHERE ended_at IS NOT NULL AND NOT to_clear AND dispatch.state IN ('queued', 'leased', 'committed')`,
  'every accepted job has a receipt, no other has': `
    SELECT job.id, job.state, receipt_state FROM job LEFT JOIN receipt ON job_id = job.id
    WHERE (job.state = 'accepted' AND NOT is_canary AND (receipt.job_id IS NULL OR receipt_state <> 'ready'))
      OR (job.state <> 'accepted' AND receipt.job_id IS NOT NULL)`,
  'the log has no gap': `
    SELECT count(*), max(index) FROM log_leaf HAVING count(*) <> coalesce(max(index) + 1, 0)`,
  'every receipt has its leaf': `
    SELECT job_id FROM receipt LEFT JOIN log_leaf ON index = log_index WHERE index IS NULL`,
  'open segments are counted': `
    SELECT usage.submitter, open_segments, coalesce(expected, 0) FROM submitter_usage AS usage LEFT JOIN (
      SELECT submitter, sum(segments) AS expected FROM job WHERE ended_at IS NULL GROUP BY submitter
    ) AS open USING (submitter) WHERE open_segments <> coalesce(expected, 0)`,
} as const

/** The checks that do not hold, each with some of the rows that break it. */
export async function brokenInvariants(db: Database): Promise<{ readonly [check: string]: unknown }> {
  const broken: { [check: string]: unknown } = {}
  for (const [check, sql] of Object.entries(CHECKS)) {
    const { rows } = await db.query(sql)
    if (rows.length > 0) broken[check] = rows.slice(0, 5)
  }
  return broken
}
