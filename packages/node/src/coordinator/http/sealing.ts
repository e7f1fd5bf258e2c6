/** Receipts and the log, as the handlers want them. */
import { AssayError } from 'assay/core/errors'
import type { Database } from '../../store/database.ts'
import type { FactsCache } from '../life/job-facts.ts'
import type { Content } from '../life/parts.ts'
import { receiptBundle } from '../sealing/bundle.ts'
import { logConsistency, logEntries, logHead, logInclusion } from '../sealing/log-store.ts'
import type { Sealing } from './deps.ts'

export function sealingOf({
  db,
  cache,
  content,
}: {
  readonly db: Database
  readonly cache: FactsCache
  readonly content: Content
}): Sealing {
  return {
    async jobReceipt(id, { account }) {
      const { count } = await db.query(
        'SELECT FROM job WHERE id = $1 AND ($2::text IS NULL OR submitter = $2)',
        [id, account === 'all' ? null : account],
      )
      if (count === 0) throw new AssayError('wire/not-found', `there is no job ${id}`)
      return JSON.stringify(await receiptBundle(db, id, { cache, content }))
    },
    checkpoint: async () => (await logHead(db)).checkpoint,
    async inclusion(index) {
      const proof = await logInclusion(db, index)
      return { ...proof, path: [...proof.path] }
    },
    async consistency(range) {
      const { fromRoot, path } = await logConsistency(db, range)
      return { fromRoot, path: [...path] }
    },
    entries: async (range) => [...(await logEntries(db, range)).leaves],
  }
}
