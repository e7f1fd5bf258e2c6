/**
 * The key of the coordinators of a network: signs receipts and checkpoints. One for all replicas, made by the first.
 *
 * Threat: whoever reads the database can sign in its name. An operator who wants it elsewhere gives it by
 * configuration, and it is compared with the one here, so that no replica signs with another.
 */
import { equalBytes, toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { ed25519KeyPair, generateKey, type KeyPair } from 'assay/core/keys'
import type { Database } from '../../store/database.ts'

/** pg_advisory_xact_lock: replicas that start at once make one key. */
const LOCK = 4702389003

interface KeyRow {
  readonly public_key: Uint8Array
  readonly secret: Uint8Array | null
}

/**
 * The key in the database, made where there is none. With `given`, that key, of which the database keeps the public half
 * alone. 'coordinator/key' where the two differ, or the secret is kept elsewhere and was not given.
 */
export async function coordinatorKey(db: Database, given?: KeyPair): Promise<KeyPair> {
  const fresh = given ?? (await generateKey())
  if (fresh.publicKey.type !== 'ed25519') {
    throw new AssayError('coordinator/key', 'expected an Ed25519 key: checkpoints know no other')
  }
  const row = await db.tx(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock($1)', [LOCK])
    const { rows } = await tx.query<KeyRow>('SELECT public_key, secret FROM coordinator_key')
    if (rows[0] !== undefined) return rows[0]
    const made = { public_key: fresh.publicKey.bytes, secret: given === undefined ? fresh.secretKey : null }
    await tx.query('INSERT INTO coordinator_key (public_key, secret) VALUES ($1, $2)', [
      made.public_key,
      made.secret,
    ])
    return made
  })
  if (given !== undefined) {
    if (equalBytes(row.public_key, given.publicKey.bytes)) return given
    throw new AssayError('coordinator/key', 'the key given is not the one that this network signs with', {
      detail: { expected: toHex(row.public_key), got: toHex(given.publicKey.bytes) },
    })
  }
  if (row.secret !== null) return ed25519KeyPair(row.secret)
  throw new AssayError('coordinator/key', 'the key of this network is kept outside of its database: give it')
}
