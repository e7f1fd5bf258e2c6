/** Receipts of large jobs, which the built package makes on a thread of its own. */
import { AssayError } from 'assay/core/errors'
import { verifyReceiptBundle } from 'assay/receipt/job/bundle'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFactsCache } from '../dist/coordinator/life/job-facts.js'
import { receiptBundle } from '../dist/coordinator/sealing/bundle.js'
import { coordinatorKey } from '../dist/coordinator/sealing/coordinator-key.js'
import { beginLog, type LogKeeper } from '../dist/coordinator/sealing/log-store.js'
import { openSealer, sealBatch, sealLarge } from '../dist/coordinator/sealing/sealer.js'
import { openStatementThread, type StatementThread } from '../dist/coordinator/sealing/statement-thread.js'
import { acceptJob, realNode, rowsOf, type TestNode } from './support/accepted-jobs.ts'
import { openTestNetwork, type TestNetwork } from './support/network.ts'

let network: TestNetwork
let keeper: LogKeeper
let nodes: TestNode[]
let thread: StatementThread
const now = Date.parse('2030-01-01T00:00:00Z')

beforeAll(async () => {
  network = await openTestNetwork()
  keeper = { origin: 'large.example/assay', key: await coordinatorKey(network.db) }
  await beginLog(network.db, keeper, now)
  nodes = await network.tx(async (tx) => [
    await realNode(tx, 'ann'),
    await realNode(tx, 'ben'),
    await realNode(tx, 'cem'),
  ])
  thread = openStatementThread()
}, 60_000)
afterAll(async () => {
  await thread?.close()
  await network?.close()
})

const options = () => ({ cache: createFactsCache(), keeper, now, thread })
const accept = (job: Partial<Parameters<typeof acceptJob>[1]>) =>
  network.tx((tx) => acceptJob(tx, { submitter: 'sam', segments: 600, nodes, ...job }))

async function verified(jobId: string, outputs?: readonly Uint8Array[]) {
  const content = {
    missing: async () => [],
    read: () => Promise.reject(new Error('expected no blob')) as never,
  }
  const bundle = await receiptBundle(network.db, jobId, { cache: createFactsCache(), content })
  const verdict = await verifyReceiptBundle(bundle, {
    log: { origin: keeper.origin, publicKey: keeper.key.publicKey },
    requireLogged: true,
    ...(outputs === undefined ? {} : { requireEvidence: true, outputs }),
  })
  if (!verdict.ok) throw AssayError.fromJSON(verdict)
  return verdict.value
}

describe('a large job', () => {
  test('is left to the thread, which lists what it has', async () => {
    const jobId = await accept({ segments: 700, share: 0.05 })
    expect(await sealBatch(network.db, options())).toEqual({ sealed: 0, failed: 0 })
    expect(await sealLarge(network.db, options())).toEqual({ sealed: 1, failed: 0 })
    expect(await sealLarge(network.db, options())).toEqual({ sealed: 0, failed: 0 })
    const outputs = Array.from({ length: 700 }, (_, i) => rowsOf(i, i === 699 ? 1 : 2))
    const { checked, statement } = await verified(jobId, outputs)
    expect(checked.executions).toBeGreaterThan(700)
    expect(statement.predicate.validation.audits.count).toBeGreaterThan(0)
  })

  test('of more segments than are listed has their number and their root', async () => {
    const jobId = await accept({ segments: 10_050 })
    expect(await sealLarge(network.db, options())).toEqual({ sealed: 1, failed: 0 })
    const { segments } = (await verified(jobId)).statement.predicate
    expect(segments).toMatchObject({ count: 10_050, list: null })
  })

  test('whose records make no receipt is told so, and the thread goes on', async () => {
    const broken = await accept({})
    await network.db.query('DELETE FROM dispatch WHERE job_id = $1 AND segment = 5', [broken])
    expect(await sealLarge(network.db, options())).toEqual({ sealed: 0, failed: 1 })
    const fine = await accept({})
    expect(await sealLarge(network.db, options())).toEqual({ sealed: 1, failed: 0 })
    await verified(fine)
  })

  test('is sealed once by replicas that build it at the same time', async () => {
    const jobId = await accept({})
    const done = await Promise.all([network.db, network.open()].map((db) => sealLarge(db, options())))
    expect(done.map(({ sealed }) => sealed).toSorted()).toEqual([0, 1])
    await verified(jobId)
  })

  test('does not keep a sealer from its end, and is sealed by the next one', async () => {
    const jobId = await accept({ segments: 3_000 })
    const errors: unknown[] = []
    const parts = { db: network.db, cache: createFactsCache(), keeper, clock: () => now }
    await openSealer({ ...parts, onError: (error) => errors.push(error) }).close()
    let sealed = 0
    const next = openSealer({
      ...parts,
      onSealed: (done) => (sealed += done.sealed),
      onError: (error) => errors.push(error),
    })
    while (sealed === 0 && errors.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    await next.close()
    expect(errors).toEqual([])
    await verified(jobId)
  })
})
