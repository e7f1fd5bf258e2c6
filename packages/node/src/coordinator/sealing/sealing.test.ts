import { fromBase64, fromHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { generateKey, type KeyPair } from 'assay/core/keys'
import { leafHashes } from 'assay/core/merkle'
import { verifyReceiptBundle } from 'assay/receipt/job/bundle'
import { verifyCheckpoint } from 'assay/receipt/log/checkpoint'
import { judgeLog } from 'assay/receipt/log/monitor'
import { appendLeaves, EMPTY_FRONTIER, frontierRoot } from 'assay/receipt/log/tree'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptJob, realNode, rowsOf, type TestNode } from '../../../test/support/accepted-jobs.ts'
import { openTestNetwork, type TestNetwork } from '../../../test/support/network.ts'
import { append } from '../events.ts'
import { createFactsCache } from '../life/job-facts.ts'
import type { Content } from '../life/parts.ts'
import { receiptBundle } from './bundle.ts'
import { coordinatorKey } from './coordinator-key.ts'
import {
  beginLog,
  type LogKeeper,
  logConsistency,
  logEntries,
  logHead,
  logInclusion,
  recomputeLog,
} from './log-store.ts'
import { openSealer, sealBatch } from './sealer.ts'

let network: TestNetwork
let keeper: LogKeeper
let nodes: TestNode[]
const NOW = Date.parse('2030-01-01T00:00:00Z')
const content: Content = {
  missing: async () => [],
  read() {
    throw new AssayError('blob/missing', 'there are no blobs here')
  },
}

beforeAll(async () => {
  network = await openTestNetwork()
  keeper = { origin: 'test.example/assay', key: await coordinatorKey(network.db) }
  await beginLog(network.db, keeper, NOW)
  nodes = await network.tx(async (tx) => {
    const made = []
    for (const operator of ['ann', 'ben', 'cem', 'dee']) made.push(await realNode(tx, operator))
    return made
  })
}, 60_000)
afterAll(() => network?.close())

const seal = (now = NOW, db = network.db) => sealBatch(db, { cache: createFactsCache(), keeper, now })
const bundleOf = (jobId: string) => receiptBundle(network.db, jobId, { cache: createFactsCache(), content })
const accept = (job: Partial<Parameters<typeof acceptJob>[1]> = {}) =>
  network.tx((tx) => acceptJob(tx, { submitter: 'sam', segments: 1, nodes, ...job }))
const log = () => ({ origin: keeper.origin, publicKey: keeper.key.publicKey })

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )
}

async function sealAll(): Promise<void> {
  for (;;) {
    const done = await seal()
    if (done !== null && done.sealed + done.failed === 0) return
  }
}

describe('receipts', () => {
  test('of a job of one segment: signed, logged, and whole with its execution', async () => {
    const id = await accept()
    expect(await codeOf(bundleOf(id))).toBe('wire/conflict')
    expect(await seal()).toEqual({ sealed: 1, failed: 0 })
    const bundle = await bundleOf(id)
    const verified = await verifyReceiptBundle(bundle, {
      log: log(),
      requireLogged: true,
      requireEvidence: true,
      outputs: [rowsOf(0, 1)],
    })
    if (!verified.ok) throw AssayError.fromJSON(verified)
    expect(verified.value.checked).toMatchObject({ executions: 1, outputs: 1 })
    expect(verified.value.statement.predicate.job.id).toBe(id)
    const { rows } = await network.db.query<{ receipt_state: string; output_root: Uint8Array }>(
      'SELECT receipt_state, output_root FROM job WHERE id = $1',
      [id],
    )
    expect(rows[0]).toEqual({
      receipt_state: 'ready',
      output_root: fromHex(verified.value.statement.predicate.output.root),
    })
    expect(await seal()).toEqual({ sealed: 0, failed: 0 })
  })

  test('of a job with audits, an outvoted node and answers that all differed', async () => {
    const id = await accept({
      segments: 30,
      segmentRows: 3,
      share: 0.4,
      wrong: new Set([3, 7]),
      scattered: new Set([11]),
      submitter: `'); DROP TABLE receipt; --`,
    })
    const [wrong] = nodes.map(({ nodeId }) => nodeId)
    await network.tx((tx) =>
      append(tx, [
        {
          type: 'node.fault',
          jobId: id,
          segment: 3,
          nodeId: wrong ?? null,
          data: { code: 'redundancy/outvoted', reason: `'--` },
        },
      ]),
    )
    await sealAll()
    const verified = await verifyReceiptBundle(await bundleOf(id), {
      log: log(),
      requireLogged: true,
      requireEvidence: true,
      outputs: Array.from({ length: 30 }, (_, i) => rowsOf(i, i === 29 ? 2 : 3)),
    })
    if (!verified.ok) throw AssayError.fromJSON(verified)
    const { validation, faults, segments } = verified.value.statement.predicate
    const outcomes = validation.audits.list?.map(({ outcome }) => outcome) ?? []
    expect(outcomes.filter((outcome) => outcome === 'majority')).toHaveLength(2)
    expect(outcomes.filter((outcome) => outcome === 'scattered')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'agreed').length).toBeGreaterThan(1)
    expect(faults).toMatchObject({ count: 1, list: [{ segment: 3, code: 'redundancy/outvoted' }] })
    expect(segments.count).toBe(30)
  })

  test('many at once, in their order, by replicas that take turns', async () => {
    const ids: string[] = []
    for (let i = 0; i < 40; i++) ids.push(await accept({ segments: 1 + (i % 3) }))
    const before = (await logHead(network.db)).size
    const replicas = [network.db, network.open(), network.open()]
    while ((await Promise.all(replicas.map((db) => seal(NOW, db)))).some((done) => (done?.sealed ?? 1) > 0));
    expect((await logHead(network.db)).size).toBe(before + ids.length)
    for (const id of ids) {
      const verified = await verifyReceiptBundle(await bundleOf(id), { log: log(), requireLogged: true })
      expect(verified.ok).toBe(true)
    }
    const { rows } = await network.db.query<{ indices: number; events: number }>(
      `SELECT count(DISTINCT log_index) AS indices,
         (SELECT count(*) FROM event WHERE type = 'receipt.sealed' AND job_id = ANY ($1::uuid[])) AS events
       FROM receipt WHERE job_id = ANY ($1::uuid[])`,
      [ids],
    )
    expect(rows[0]).toEqual({ indices: 40, events: 40 })
  })

  test('a job whose records make none is told so, and holds up no other', async () => {
    const lost = await accept({ segments: 3 })
    const fine = await accept()
    await network.db.query('DELETE FROM dispatch WHERE job_id = $1 AND segment = 1', [lost])
    const done = await seal()
    expect(done?.failed).toBe(1)
    expect(await codeOf(bundleOf(fine))).toBe('resolved')
    expect(await codeOf(bundleOf(lost))).toBe('wire/conflict')
    const { rows } = await network.db.query<{ data: { code: string } }>(
      "SELECT data FROM event WHERE type = 'receipt.failed' AND job_id = $1",
      [lost],
    )
    expect(rows[0]?.data.code).toBe('job-receipt/parts')
    expect(await seal()).toEqual({ sealed: 0, failed: 0 })
  })

  test('a sealing that is taken back leaves nothing, and the next one goes on', async () => {
    const id = await accept()
    const before = await logHead(network.db)
    const failing = {
      ...network.db,
      tx: ((work) =>
        network.db.tx(async (tx) => {
          await work(tx)
          throw new Error('taken back')
        })) as typeof network.db.tx,
    }
    await expect(seal(NOW, failing)).rejects.toThrow('taken back')
    expect(await logHead(network.db)).toEqual(before)
    await sealAll()
    expect((await verifyReceiptBundle(await bundleOf(id), { log: log(), requireLogged: true })).ok).toBe(true)
  })

  test('the sealer finds jobs by itself, survives a database that is away, and ends', async () => {
    let isAway = true
    const errors: unknown[] = []
    const db = {
      ...network.db,
      tx: ((work, options) =>
        isAway ? Promise.reject(new Error('away')) : network.db.tx(work, options)) as typeof network.db.tx,
    }
    const sealer = openSealer({
      db,
      cache: createFactsCache(),
      keeper,
      clock: () => NOW,
      onError: (error) => errors.push(error),
    })
    const id = await accept()
    while (errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    isAway = false
    for (;;) {
      sealer.wake()
      if ((await codeOf(bundleOf(id))) === 'resolved') break
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await sealer.close()
  })
})

describe('the log', () => {
  test('proves each leaf, and each of its pasts', async () => {
    await accept()
    await sealAll()
    const head = await logHead(network.db)
    const checkpoint = await verifyCheckpoint(head.checkpoint, log())
    expect(checkpoint.ok && checkpoint.value.size).toBe(head.size)
    const { leaves } = await logEntries(network.db, { from: 0, limit: 1000 })
    expect(leaves).toHaveLength(head.size)
    const whole = appendLeaves(EMPTY_FRONTIER, leafHashes(leaves.map((leaf) => fromBase64(leaf))))
    expect(whole.root).toEqual(head.root)
    for (let from = 0; from <= head.size; from++) {
      const { fromRoot } = await logConsistency(network.db, { from, to: head.size })
      const prefix = leafHashes(leaves.slice(0, from).map((leaf) => fromBase64(leaf)))
      const { frontier } = appendLeaves(EMPTY_FRONTIER, prefix)
      expect(fromHex(fromRoot)).toEqual(frontierRoot(frontier))
    }
    const last = await logInclusion(network.db, head.size - 1)
    expect(last).toMatchObject({ size: head.size, leaf: leaves.at(-1), checkpoint: head.checkpoint })
  })

  test('grows as its readers can tell, and its times never fall', async () => {
    const kept = await logHead(network.db)
    await accept()
    // A replica whose clock is behind.
    await seal(NOW - 1e9)
    const shown = await logHead(network.db)
    const { fromRoot, path } = await logConsistency(network.db, { from: kept.size, to: shown.size })
    const consistency = { fromRoot: fromHex(fromRoot), proof: path.map(fromHex) }
    const judged = await judgeLog({ kept: kept.checkpoint, shown: shown.checkpoint, consistency }, log())
    expect(judged.outcome).toBe('ok')
  })

  test('begins once, however many begin it', async () => {
    const other = await openTestNetwork()
    try {
      const key = await coordinatorKey(other.db)
      const own: LogKeeper = { origin: 'other.example/assay', key }
      expect(await codeOf(logHead(other.db))).toBe('wire/unavailable')
      await Promise.all([other.db, other.open(), other.open()].map((db) => beginLog(db, own, NOW)))
      expect(await logHead(other.db)).toMatchObject({ size: 0 })
      expect(await codeOf(logInclusion(other.db, 0))).toBe('wire/not-found')
      expect(await logConsistency(other.db, { from: 0, to: 0 })).toMatchObject({ path: [] })
      expect(await recomputeLog(other.db)).toMatchObject({ isSound: true })
    } finally {
      await other.close()
    }
  })

  test('refuses what it has not', async () => {
    const { size } = await logHead(network.db)
    for (const index of [size, -1, 2 ** 53])
      expect(await codeOf(logInclusion(network.db, index))).toBe('wire/not-found')
    for (const [from, to] of [
      [0, size + 1],
      [3, 2],
      [-1, 1],
    ] as const) {
      expect(await codeOf(logConsistency(network.db, { from, to }))).toBe('wire/not-found')
    }
    expect((await logEntries(network.db, { from: size + 5, limit: 5 })).leaves).toEqual([])
  })

  test('one whose records were rewritten is found out', async () => {
    expect(await recomputeLog(network.db)).toMatchObject({ isSound: true, fault: null })
    const other = network.open()
    const attempt = (sql: string) =>
      other
        .tx(async (tx) => {
          await tx.query(sql)
          const found = await recomputeLog(tx)
          expect(found.isSound).toBe(false)
          throw new Error(found.fault ?? '')
        })
        .catch((error: Error) => error.message)
    expect(await attempt(`UPDATE log_leaf SET entry = entry || '\\x00' WHERE index = 1`)).toContain(
      'another root',
    )
    expect(await attempt('DELETE FROM log_leaf WHERE index = 1')).toContain('leaf 1 of')
    expect(await attempt('DELETE FROM log_leaf WHERE index > 3')).toContain('leaf 4 of')
  })
})

describe('the key', () => {
  test('is one, for all replicas that start at once', async () => {
    const keys = await Promise.all([network.db, network.open()].map((db) => coordinatorKey(db)))
    for (const key of keys) expect(key).toEqual(keeper.key)
  })

  test('that is kept elsewhere is not in the database, and must be given', async () => {
    const other = await openTestNetwork()
    try {
      const given: KeyPair = await generateKey()
      expect(await coordinatorKey(other.db, given)).toBe(given)
      expect(await coordinatorKey(other.db, given)).toBe(given)
      const { rows } = await other.db.query<{ secret: unknown }>('SELECT secret FROM coordinator_key')
      expect(rows).toEqual([{ secret: null }])
      expect(await codeOf(coordinatorKey(other.db))).toBe('coordinator/key')
      expect(await codeOf(coordinatorKey(other.db, await generateKey()))).toBe('coordinator/key')
    } finally {
      await other.close()
    }
  })
})
