/**
 * What of its quota of bytes an account may have in uploads.
 *
 * Uploads count from their beginning on, as if they were there. The last word is said when they end (quota.ts): two
 * replicas that begin uploads of one account in the same moment may admit one too many each.
 *
 * Threat: to begin an upload reserves space and sends nothing. Whoever only reserves is stopped long before the store
 * is full for others.
 */
import { AssayError } from 'assay/core/errors'
import { type Queryable, statement } from '../store/database.ts'
import type { OpenUploads } from '../store/upload-list.ts'
import { blobBytes } from './quota.ts'

/** Uploads of an account at a time: a store takes those of 64 such, and each is looked at when another one begins. */
export const MAX_ACCOUNT_UPLOADS = 64
/** Of the store, what an account may have reserved and not sent, unless it is one blob: three others can do the same. */
const AWAITED_SHARE = 1 / 4
/** Uploads end, or get on, in seconds. */
const RETRY_AFTER_SECONDS = 5

const QUOTA = statement('blob_quota', 'SELECT blob_bytes FROM submitter WHERE name = $1')

export interface BlobQuota {
  readonly limit: number
  /** By blobs that are the account's. */
  readonly used: number
}

export async function blobQuota(db: Queryable, account: string): Promise<BlobQuota> {
  const { rows } = await db.query<{ blob_bytes: number }>(QUOTA, [account])
  return { limit: rows[0]?.blob_bytes ?? 0, used: await blobBytes(db, account) }
}

/** Throws 'wire/quota' for a blob that has no room beside those that are there. */
export function refuseBeyondQuota(sizeBytes: number, { limit, used }: BlobQuota): void {
  if (used + sizeBytes <= limit) return
  const message = `the account may store ${limit} bytes, and this would make ${used + sizeBytes}`
  throw new AssayError('wire/quota', message, { detail: { quota: 'blobBytes', limit, used } })
}

/** Throws 'wire/quota' for an upload that the account may not begin while these are open. */
export function refuseUpload(
  sizeBytes: number,
  {
    limit,
    used,
    open,
    storeBytes,
  }: BlobQuota & { readonly open: readonly OpenUploads[]; readonly storeBytes: number },
): void {
  const sum = (of: keyof OpenUploads) => open.reduce((all, each) => all + each[of], 0)
  const [uploads, begunBytes, awaitedBytes] = [sum('uploads'), sum('sizeBytes'), sum('awaitedBytes')]
  const refuse = (message: string, detail: AssayError['detail']): never => {
    throw new AssayError('wire/quota', `${message}: end some first, or wait until they are given up`, {
      detail: { ...detail, uploads },
    })
  }
  const retryAfterSeconds = RETRY_AFTER_SECONDS
  if (uploads >= MAX_ACCOUNT_UPLOADS) {
    const limits = { quota: 'uploads', limit: MAX_ACCOUNT_UPLOADS, retryAfterSeconds }
    refuse(`the account has ${uploads} uploads open`, limits)
  }
  if (used + begunBytes + sizeBytes > limit) {
    const message = `the account may store ${limit} bytes, and with what it has begun this would make`
    refuse(`${message} ${used + begunBytes + sizeBytes}`, { quota: 'blobBytes', limit, used })
  }
  const most = Math.floor(storeBytes * AWAITED_SHARE)
  if (awaitedBytes > 0 && awaitedBytes + sizeBytes > most) {
    const message = `the account may have ${most} bytes begun and not sent, and this would make`
    refuse(`${message} ${awaitedBytes + sizeBytes}`, {
      quota: 'awaitedBytes',
      limit: most,
      retryAfterSeconds,
    })
  }
}
