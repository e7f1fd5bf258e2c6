/**
 * Blobs of accounts and nodes: who may store and read which, over the one store of the network (store/blobs.ts).
 *
 * A blob belongs to the accounts that uploaded it. Whoever uploads one that is there already sends all of it too, and
 * it is hashed and thrown away: an address alone gives no bytes, and does not even say that somebody else has them. For
 * an address is no secret, and an output that is there before its second run would tell what the first one said.
 *
 * Nodes upload in the name of their operator; solvers read what their leases are about, verifiers everything.
 *
 * Threat: addresses, sizes and bytes come from anybody.
 */
import { createHash, type Hash } from 'node:crypto'
import { type Cid, formatCid, parseCid } from 'assay/core/cid'
import type { Digest } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import type { BlobStore, UploadStatus } from '../../store/blobs.ts'
import { type Database, statement } from '../../store/database.ts'
import { isIdle, type OpenUploads, sumUploads } from '../../store/upload-list.ts'
import { createLru } from '../life/lru.ts'
import type { OwnedContent } from '../life/parts.ts'
import { claimBlob, disclaimBlob, lockBlob, ownedBlobs, ownsBlob } from '../quota.ts'
import { blobQuota, refuseBeyondQuota, refuseUpload } from '../upload-quota.ts'
import type { BlobOwner, BlobStatus, Blobs, ByteRange, BytesAnswer } from './deps.ts'

/** Uploads of what is there already, at a time: the oldest are forgotten, and begin again. */
const MAX_PROOFS = 4096
/** Blobs that jobs under way name; an entry has some 200 bytes. */
const MAX_OWNED = 16_384
/** How long an account is believed to have what it had: no longer than a request may take. */
const OWNED_MS = 60_000

const IS_RESULT = statement(
  'blob_is_result',
  `SELECT FROM dispatch JOIN job ON job.id = dispatch.job_id
   WHERE output_cid = $1 AND is_result AND job.submitter = $2 LIMIT 1`,
)
/** Input and content of a job that the node holds a lease of. */
const IS_LEASED = statement(
  'blob_is_leased',
  `SELECT FROM dispatch JOIN job ON job.id = dispatch.job_id
   WHERE dispatch.node_id = $2 AND dispatch.state = 'leased'
     AND (job.input_cid = $1 OR job.spec->'work'->>'model' = $1 OR job.spec->'work'->>'module' = $1) LIMIT 1`,
)

/** Somebody shows that they have the bytes, from the first to the last. */
interface Proof {
  readonly account: string
  readonly sizeBytes: number
  readonly hash: Hash
  readonly begunAtMs: number
  touchedAtMs: number
  storedBytes: number
}

export interface BlobAccess extends Blobs {
  readonly content: OwnedContent
  /** Of an output that was accepted; nobody is asked whether they may. */
  readResult(cid: string): AsyncIterable<Uint8Array>
}

export function openBlobAccess(db: Database, store: BlobStore): BlobAccess {
  const proofs = new Map<string, Proof>()

  /** Those of an account that go on; the others are forgotten. */
  const openProofs = (account: string): Proof[] => {
    const nowMs = performance.now()
    const open: Proof[] = []
    for (const [key, proof] of proofs) {
      if (proof.account !== account) continue
      if (isIdle(proof, { nowMs })) proofs.delete(key)
      else open.push(proof)
    }
    return open
  }

  /** When an account had a blob: a yes is asked for now and then, a no again and again. */
  const owned = createLru<string, number>(MAX_OWNED)
  const owns = async (owner: BlobOwner, cid: string): Promise<boolean> => {
    const submitter = accountOf(owner)
    const name = `${cid} ${submitter}`
    const askedAt = performance.now()
    if (askedAt - (owned.get(name) ?? Number.NEGATIVE_INFINITY) < OWNED_MS) return true
    const isOwned = await ownsBlob(db, { cid, submitter })
    if (isOwned) owned.set(name, askedAt)
    return isOwned
  }
  const isHeld = async (owner: BlobOwner, cid: string): Promise<boolean> =>
    (await store.has(cid)) && (await owns(owner, cid))

  const claim = async (owner: BlobOwner, { cid, sizeBytes }: { cid: string; sizeBytes: number }) => {
    const claimed = await db.tx((tx) => claimBlob(tx, { cid, submitter: accountOf(owner), sizeBytes }))
    if (!claimed.ok) throw AssayError.fromJSON(claimed)
    if (await store.isOnDisk(cid)) return
    // Deleted in the last moment before the claim, as nobody's; unless somebody has just brought it again.
    const isBack = await db.tx(async (tx) => {
      await lockBlob(tx, cid)
      if (await store.isOnDisk(cid)) return true
      await disclaimBlob(tx, { cid, submitter: accountOf(owner) })
      return false
    })
    if (isBack) return
    throw new AssayError('blob/offset', 'the blob was deleted meanwhile: begin again', {
      detail: { offset: 0 },
    })
  }

  const begin: Blobs['begin'] = async (owner, { cid, sizeBytes }) => {
    parseCid(cid)
    if (await isHeld(owner, cid)) return complete(cid, (await store.sizeOf(cid)) ?? sizeBytes)
    const account = accountOf(owner)
    const quota = await blobQuota(db, account)
    refuseBeyondQuota(sizeBytes, quota)
    // Whether it is there or not: the answers must be the same.
    store.checkSize(sizeBytes)
    const known = proofs.get(proofKey(owner, cid))
    const admit = (open: OpenUploads) => {
      const shown = sumUploads(openProofs(account).filter((proof) => proof !== known))
      refuseUpload(sizeBytes, { ...quota, open: [open, shown], storeBytes: store.maxBytes })
    }
    if (!(await store.has(cid))) {
      const status = await store.begin({ cid, owner: keyOf(owner), sizeBytes, account, admit })
      const isWhole = status.storedBytes === sizeBytes && sizeBytes > 0
      // Its last part came, and whoever took that died, or had no room, before it got its name.
      if (!status.complete && isWhole) return finishUnlessBusy(owner, status)
      // Finished by somebody else this moment: then it is shown like any other.
      if (!status.complete) return statusOf(cid, status)
    }
    // Counted like an upload: otherwise it would show that somebody else has the blob.
    if (known?.sizeBytes !== sizeBytes) admit(await store.openUploads(account))
    const proof = known?.sizeBytes === sizeBytes ? known : newProof(account, sizeBytes)
    proofs.delete(proofKey(owner, cid))
    proofs.set(proofKey(owner, cid), proof)
    if (proofs.size > MAX_PROOFS) proofs.delete(proofs.keys().next().value as string)
    return { cid, sizeBytes, storedBytes: proof.storedBytes, complete: false }
  }

  const append: Blobs['append'] = async (owner, { cid, offset, bytes }) => {
    if (await isHeld(owner, cid)) return complete(cid, (await store.sizeOf(cid)) ?? 0)
    const proof = proofs.get(proofKey(owner, cid))
    if (proof !== undefined) return appendProof(owner, { cid, offset, bytes, proof })
    const upload = { cid, owner: keyOf(owner) }
    const status = await store.append({ ...upload, offset }, bytes)
    if (status.complete) {
      // Somebody else finished the same in the middle of this one.
      return begin(owner, { cid, sizeBytes: status.sizeBytes })
    }
    if (status.storedBytes < status.sizeBytes) return statusOf(cid, status)
    return finish(owner, status)
  }

  const finish = async (owner: BlobOwner, status: UploadStatus): Promise<BlobStatus> => {
    const { cid } = status
    try {
      const { sizeBytes } = await store.commit({ cid, owner: keyOf(owner) })
      await claim(owner, { cid, sizeBytes })
      return complete(cid, sizeBytes)
    } catch (error) {
      // Another replica finished the same, the blob was deleted as nobody's, and somebody begins it anew.
      const isBegunAnew = error instanceof AssayError && error.code === 'blob/incomplete'
      if (isBegunAnew) return statusOf(cid, { ...status, storedBytes: 0 })
      throw error
    }
  }

  const finishUnlessBusy = async (owner: BlobOwner, status: UploadStatus): Promise<BlobStatus> => {
    try {
      return await finish(owner, status)
    } catch (error) {
      // The request that brought the last part is at it.
      if (error instanceof AssayError && error.code === 'blob/busy') return statusOf(status.cid, status)
      throw error
    }
  }

  const appendProof = async (
    owner: BlobOwner,
    {
      cid,
      offset,
      bytes,
      proof,
    }: { readonly cid: string; readonly offset: number; readonly bytes: Uint8Array; readonly proof: Proof },
  ): Promise<BlobStatus> => {
    const { sizeBytes, storedBytes } = proof
    if (offset !== storedBytes) {
      const message = `expected a part from byte ${storedBytes} on, got one from ${offset} on`
      throw new AssayError('blob/offset', message, { detail: { storedBytes, offset } })
    }
    if (storedBytes + bytes.length > sizeBytes) {
      throw new AssayError('blob/too-large', `expected ${sizeBytes} bytes in all, got more`, {
        detail: { sizeBytes },
      })
    }
    proof.hash.update(bytes)
    proof.storedBytes += bytes.length
    proof.touchedAtMs = performance.now()
    if (proof.storedBytes < sizeBytes)
      return { cid, sizeBytes, storedBytes: proof.storedBytes, complete: false }
    proofs.delete(proofKey(owner, cid))
    const got = addressOf(proof.hash, cid)
    if (got !== cid) {
      const message = `expected the content at ${cid}, got ${sizeBytes} bytes that hash to ${got}`
      throw new AssayError('blob/mismatch', message, { detail: { expected: cid, got } })
    }
    if (!(await store.has(cid))) {
      throw new AssayError('blob/offset', 'the blob was deleted meanwhile: begin again', {
        detail: { offset: 0 },
      })
    }
    await claim(owner, { cid, sizeBytes })
    return complete(cid, sizeBytes)
  }

  const mayRead = async (reader: BlobOwner, cid: string): Promise<boolean> => {
    if (reader.kind === 'node' && reader.node.role === 'verifier') return true
    if (await owns(reader, cid)) return true
    const [sql, who] =
      reader.kind === 'node'
        ? ([IS_LEASED, Buffer.from(reader.node.nodeId, 'hex')] as const)
        : ([IS_RESULT, reader.account] as const)
    return (await db.query(sql, [cid, who])).count > 0
  }

  const read: Blobs['read'] = async (reader, cid, range) => {
    parseCid(cid)
    const wholeBytes = await store.sizeOf(cid)
    if (wholeBytes === undefined || !(await mayRead(reader, cid))) {
      throw new AssayError('wire/not-found', `there is no blob ${cid} for you to read`)
    }
    return readRange(store, { cid, wholeBytes, range })
  }

  return {
    begin,
    append,
    read,
    readResult: (cid) => checkedPieces(store, cid),
    content: {
      async missing(submitter, cids) {
        const reader: BlobOwner = { kind: 'account', account: submitter }
        const there = await Promise.all(
          cids.map(async (cid) => (await store.has(cid)) && (await mayRead(reader, cid))),
        )
        return cids.filter((_, i) => !there[i])
      },
      async foreign(account, cids) {
        const own = await ownedBlobs(db, { cids, submitter: account })
        return cids.filter((cid) => !own.has(cid))
      },
      read: (cid) => checkedPieces(store, cid),
    },
  }
}

async function readRange(
  store: BlobStore,
  {
    cid,
    wholeBytes,
    range,
  }: { readonly cid: string; readonly wholeBytes: number; readonly range: ByteRange | undefined },
): Promise<BytesAnswer> {
  if (range === undefined) {
    const { stream } = await store.read(cid)
    return { bytes: stream, sizeBytes: wholeBytes }
  }
  const from = 'suffix' in range ? Math.max(0, wholeBytes - range.suffix) : range.from
  const to = 'suffix' in range || range.to === undefined ? wholeBytes : Math.min(range.to + 1, wholeBytes)
  if (from >= wholeBytes) {
    const message = `expected a range within ${wholeBytes} bytes, got one from ${from} on`
    throw new AssayError('blob/range', message, { detail: { sizeBytes: wholeBytes } })
  }
  const { stream } = await store.read(cid, { start: from, end: to })
  return { bytes: stream, sizeBytes: to - from, part: { from, wholeBytes } }
}

/** Pieces whose sum is checked at their end: 'blob/corrupt' for a disk that fails. */
async function* checkedPieces(store: BlobStore, cid: string): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash('sha256')
  const { stream } = await store.read(cid)
  for await (const piece of stream as AsyncIterable<Uint8Array>) {
    hash.update(piece)
    yield piece
  }
  if (addressOf(hash, cid) === cid) return
  throw new AssayError('blob/corrupt', `what is stored of ${cid} does not hash to it any more`, {
    detail: { cid },
  })
}

function addressOf(hash: Hash, cid: string): Cid {
  return formatCid(new Uint8Array(hash.digest()) as Uint8Array as Digest, parseCid(cid).codec)
}

function newProof(account: string, sizeBytes: number): Proof {
  const nowMs = performance.now()
  return {
    account,
    sizeBytes,
    hash: createHash('sha256'),
    begunAtMs: nowMs,
    touchedAtMs: nowMs,
    storedBytes: 0,
  }
}

/** Whose quota and ownership it is. */
function accountOf(owner: BlobOwner): string {
  return owner.kind === 'account' ? owner.account : owner.node.operator
}

/** Whose upload it is. */
function keyOf(owner: BlobOwner): string {
  return owner.kind === 'account' ? `account:${owner.account}` : `node:${owner.node.nodeId}`
}

function proofKey(owner: BlobOwner, cid: string): string {
  return `${cid} ${keyOf(owner)}`
}

function complete(cid: string, sizeBytes: number): BlobStatus {
  return { cid, sizeBytes, storedBytes: sizeBytes, complete: true }
}

function statusOf(cid: string, { sizeBytes, storedBytes }: Omit<BlobStatus, 'cid'>): BlobStatus {
  return { cid, sizeBytes, storedBytes, complete: false }
}
