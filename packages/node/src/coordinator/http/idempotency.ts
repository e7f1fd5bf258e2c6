/**
 * Idempotency keys: what a request is going to make is written down under its key before it is made, so that the same
 * request makes it once, whatever breaks in between, on whichever replica it comes again.
 *
 * The reservation does not wait for the disk: what is made afterwards is written behind it, so that a crash that keeps
 * the later keeps the former. The sweep of jobs forgets keys after a day (life/sweep.ts).
 */
import { createHash } from 'node:crypto'
import { AssayError, type Json } from 'assay/core/errors'
import { createBatcher } from '../../store/batcher.ts'
import { type Queryable, statement } from '../../store/database.ts'

const MAX_BATCH = 500
const MAX_QUEUED = 20_000
const SPACING_MS = 15
/** Printable, without spaces. */
const KEY = /^[\x21-\x7e]{1,128}$/

export interface Reservation {
  /** Account of the API key that asks. */
  readonly account: string
  /** `Idempotency-Key`. */
  readonly key: string
  readonly operation: string
  readonly body: Uint8Array
  /** What this request would make: an id. */
  readonly plan: Json
}

export interface Reservations {
  /**
   * What the first request with this key is to make, the plan of this one if it is the first. 'wire/conflict' for a key
   * that came with something else, 'wire/malformed' for what is none.
   */
  reserve(reservation: Reservation): Promise<Json>
  close(): Promise<void>
}

interface Item extends Omit<Reservation, 'body'> {
  readonly digest: Uint8Array
}

interface Row {
  readonly submitter: string
  readonly key: string
  readonly operation: string
  readonly request_digest: Uint8Array
  readonly response: Json
}

const INSERT = statement(
  'idempotency_insert',
  `WITH committed_later AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
   INSERT INTO idempotency (submitter, key, operation, request_digest, response, status)
   SELECT submitter, key, operation, digest, plan, 0
   FROM committed_later, unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::jsonb[])
     AS given (submitter, key, operation, digest, plan)
   ORDER BY submitter, key ON CONFLICT DO NOTHING RETURNING submitter, key`,
)
const READ = statement(
  'idempotency_read',
  `SELECT submitter, idempotency.key, operation, request_digest, response
   FROM unnest($1::text[], $2::text[]) AS given (account, key)
   JOIN idempotency ON submitter = given.account AND idempotency.key = given.key`,
)
export function openReservations(db: Queryable): Reservations {
  const batcher = createBatcher<Item, Json>({
    maxItems: MAX_BATCH,
    maxQueued: MAX_QUEUED,
    spacingMs: SPACING_MS,
    run: (items) => reserveAll(db, items),
  })
  return {
    async reserve({ body, ...reservation }) {
      if (!KEY.test(reservation.key)) {
        throw new AssayError(
          'wire/malformed',
          'expected an Idempotency-Key of 1 to 128 printable characters without spaces',
        )
      }
      return batcher.add({ ...reservation, digest: createHash('sha256').update(body).digest() })
    },
    close: () => batcher.close(),
  }
}

async function reserveAll(db: Queryable, items: readonly Item[]): Promise<(Json | Error)[]> {
  const first = new Map<string, Item>()
  for (const item of items) if (!first.has(nameOf(item))) first.set(nameOf(item), item)
  const distinct = [...first.values()]
  const inserted = await db.query<{ submitter: string; key: string }>(INSERT, [
    distinct.map(({ account }) => account),
    distinct.map(({ key }) => key),
    distinct.map(({ operation }) => operation),
    distinct.map(({ digest }) => digest),
    distinct.map(({ plan }) => JSON.stringify(plan)),
  ])
  const fresh = new Set(inserted.rows.map(({ submitter, key }) => nameOf({ account: submitter, key })))
  const known = await readKnown(
    db,
    distinct.filter((item) => !fresh.has(nameOf(item))),
  )
  return items.map((item) => {
    const name = nameOf(item)
    const made = fresh.has(name) ? (first.get(name) as Item) : known.get(name)
    if (made?.operation === item.operation && Buffer.from(made.digest).equals(item.digest)) return made.plan
    return new AssayError('wire/conflict', 'this Idempotency-Key came with another request before')
  })
}

type Made = Pick<Item, 'operation' | 'digest' | 'plan'>

/** What came before under these keys. */
async function readKnown(db: Queryable, items: readonly Item[]): Promise<Map<string, Made>> {
  if (items.length === 0) return new Map()
  const { rows } = await db.query<Row>(READ, [
    items.map(({ account }) => account),
    items.map(({ key }) => key),
  ])
  return new Map(
    rows.map(({ submitter, key, operation, request_digest: digest, response: plan }) => [
      nameOf({ account: submitter, key }),
      { operation, digest, plan },
    ]),
  )
}

function nameOf({ account, key }: Pick<Item, 'account' | 'key'>): string {
  return `${key} ${account}`
}
