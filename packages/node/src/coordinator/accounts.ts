/**
 * Who may ask for what: submitters, and the API keys that act for them.
 *
 *     token = assay_<16 hex digits, the id>_<64 hex digits, the secret>
 *
 * Of a secret only its SHA-256 is kept: 32 random bytes need no slow hash. Tokens are compared in constant time.
 *
 * Threat: tokens come from anybody, and whoever reads the database must not be able to use them. A key that was
 * revoked or expired is refused at once here, and by the other replicas within `CACHE_MS`.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { AssayError, reject, type Verdict } from 'assay/core/errors'
import { type keyView, type newKey, type Quota, SCOPES, type Scope } from 'assay/wire/account'
import type * as z from 'zod/mini'
import type { Database, Queryable, Tx } from '../store/database.ts'
import { append } from './events.ts'
import { type Page, type PageOptions, pageFrom } from './ledger-read.ts'

export type NewKey = z.infer<typeof newKey>
export type KeyView = z.infer<typeof keyView>

/** What accounts may do for which nothing else is said: one busy program. */
export const DEFAULT_QUOTA: Quota = {
  jobsPerMinute: 60_000,
  queuedSegments: 10_000_000,
  blobBytes: 2 ** 36,
}
/** The account that the first key of a network acts for. */
const ADMIN_ACCOUNT = 'admin'

const ID_BYTES = 8
const SECRET_BYTES = 32
const TOKEN = /^assay_([0-9a-f]{16})_([0-9a-f]{64})$/
/** How long a replica may take another's revocation for unsaid. */
const CACHE_MS = 2_000
/** Keys that are remembered; each takes some hundred bytes. */
const MAX_CACHED = 10_000
/** pg_advisory_xact_lock: replicas that start at once make one admin key. */
const BOOTSTRAP_LOCK = '4702389002'

/** Whom a request acts for. */
export interface Principal {
  readonly keyId: string
  readonly account: string
  readonly scopes: readonly Scope[]
  readonly quota: Quota
}

interface KeyRow {
  readonly id: string
  readonly submitter: string
  readonly secret_digest: Uint8Array
  readonly scopes: Scope[]
  readonly jobs_per_minute: number
  readonly queued_segments: number
  readonly blob_bytes: number
  readonly created_at: Date
  readonly expires_at: Date | null
  readonly revoked_at: Date | null
}

const KEYS = `SELECT key.id, key.submitter, key.secret_digest, key.scopes, key.created_at, key.expires_at, key.revoked_at,
    submitter.jobs_per_minute, submitter.queued_segments, submitter.blob_bytes
  FROM api_key AS key JOIN submitter ON submitter.name = key.submitter`

/** Makes the account where there is none; a quota that is given is set. */
export async function ensureSubmitter(
  tx: Tx,
  { name, quota }: { readonly name: string; readonly quota?: Quota | undefined },
): Promise<void> {
  const { jobsPerMinute, queuedSegments, blobBytes } = quota ?? DEFAULT_QUOTA
  await tx.query(
    `INSERT INTO submitter (name, jobs_per_minute, queued_segments, blob_bytes) VALUES ($1, $2, $3, $4)
     ON CONFLICT (name) DO ${
       quota === undefined
         ? 'NOTHING'
         : `UPDATE SET jobs_per_minute = excluded.jobs_per_minute, queued_segments = excluded.queued_segments,
              blob_bytes = excluded.blob_bytes`
     }`,
    [name, jobsPerMinute, queuedSegments, blobBytes],
  )
}

/** A new key, and its token: the one time that it is to be seen. */
export async function makeKey(tx: Tx, wanted: NewKey): Promise<{ key: KeyView; token: string }> {
  const { account, scopes, quota, expiresAt } = wanted
  await ensureSubmitter(tx, { name: account, quota })
  const id = randomBytes(ID_BYTES).toString('hex')
  const secret = randomBytes(SECRET_BYTES)
  await tx.query(
    'INSERT INTO api_key (id, submitter, secret_digest, scopes, expires_at) VALUES ($1, $2, $3, $4::text[], $5)',
    [
      id,
      account,
      digestOf(secret),
      [...new Set(scopes)],
      expiresAt === undefined ? null : new Date(expiresAt),
    ],
  )
  await append(tx, [{ type: 'key.made', data: { id, account, scopes } }])
  return { key: await keyById(tx, id), token: `assay_${id}_${secret.toString('hex')}` }
}

/** No more requests with it: 'wire/not-found' where there is none. Revoking again changes nothing. */
export async function revokeKey(tx: Tx, id: string): Promise<KeyView> {
  const { count } = await tx.query(
    'UPDATE api_key SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL',
    [id],
  )
  const key = await keyById(tx, id)
  if (count > 0) await append(tx, [{ type: 'key.revoked', data: { id, account: key.account } }])
  return key
}

/** All keys, in the order of their ids. */
export async function keysPage(db: Queryable, { cursor = '', limit }: PageOptions): Promise<Page<KeyView>> {
  const { rows } = await db.query<KeyRow>(`${KEYS} WHERE key.id > $1 ORDER BY key.id LIMIT $2`, [
    cursor,
    limit + 1,
  ])
  return pageFrom(rows, { limit, cursor: ({ id }) => id, item: viewOf })
}

async function keyById(db: Queryable, id: string): Promise<KeyView> {
  const { rows } = await db.query<KeyRow>(`${KEYS} WHERE key.id = $1`, [id])
  if (rows[0] !== undefined) return viewOf(rows[0])
  throw new AssayError('wire/not-found', 'there is no API key of this id')
}

/** Makes the first key of a network, one that may do everything; null when the network has keys. */
export async function bootstrap(db: Database): Promise<{ key: KeyView; token: string } | null> {
  return db.tx(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [BOOTSTRAP_LOCK])
    const { rows } = await tx.query('SELECT FROM api_key LIMIT 1')
    if (rows.length > 0) return null
    return makeKey(tx, { account: ADMIN_ACCOUNT, scopes: [...SCOPES] })
  })
}

export interface Keyring {
  /** Whom a token acts for; 'wire/unauthenticated' where nobody. */
  authenticate(token: string, options: { readonly now: number }): Promise<Verdict<Principal>>
  /** After a revocation. */
  forget(id: string): void
}

/** Tokens against the database, with what was found kept for `CACHE_MS`. */
export function openKeyring(db: Queryable): Keyring {
  const cache = new Map<string, { readonly row: KeyRow; readonly readAt: number }>()

  async function read(id: string, now: number): Promise<KeyRow | undefined> {
    const known = cache.get(id)
    if (known !== undefined && Math.abs(now - known.readAt) < CACHE_MS) return known.row
    const { rows } = await db.query<KeyRow>(`${KEYS} WHERE key.id = $1`, [id])
    cache.delete(id)
    const [row] = rows
    // Ids that are none are not kept: there is no end of them.
    if (row !== undefined) cache.set(id, { row, readAt: now })
    if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value as string)
    return row
  }

  return {
    async authenticate(token, { now }) {
      const match = TOKEN.exec(token)
      if (match === null) return refused('expected an API key: assay_…')
      const [, id, secret] = match as unknown as [string, string, string]
      const row = await read(id, now)
      // Computed and compared either way, so that ids cannot be told from guesses by the time it takes.
      const digest = digestOf(Buffer.from(secret, 'hex'))
      const isSame = timingSafeEqual(digest, row?.secret_digest ?? Buffer.alloc(digest.length))
      if (row === undefined || !isSame) return refused('the API key is not known here')
      if (row.revoked_at !== null) return refused('the API key was revoked')
      if (row.expires_at !== null && row.expires_at.getTime() <= now)
        return refused('the API key has expired')
      const { account, scopes, quota } = viewOf(row)
      return { ok: true, value: { keyId: id, account, scopes, quota } }
    },
    forget(id) {
      cache.delete(id)
    },
  }
}

/** Whether a principal may do what a scope names: 'wire/forbidden' if not. */
export function mayUse({ scopes }: Pick<Principal, 'scopes'>, scope: Scope): Verdict<true> {
  if (scopes.includes(scope) || scopes.includes('admin')) return { ok: true, value: true }
  return reject('wire/forbidden', `this needs an API key with the scope ${scope}`, { scope, scopes })
}

function refused(message: string) {
  return reject('wire/unauthenticated', message)
}

function digestOf(secret: Uint8Array): Buffer {
  return createHash('sha256').update(secret).digest()
}

function viewOf(row: KeyRow): KeyView {
  return {
    id: row.id,
    account: row.submitter,
    scopes: row.scopes,
    quota: {
      jobsPerMinute: row.jobs_per_minute,
      queuedSegments: row.queued_segments,
      blobBytes: row.blob_bytes,
    },
    createdAt: row.created_at.toISOString(),
    expiresAt: row.expires_at?.toISOString() ?? null,
    revokedAt: row.revoked_at?.toISOString() ?? null,
  }
}
