/** Receipts of jobs that went through their whole life, checked as anybody would, with everything that came with them. */
import { AssayError } from 'assay/core/errors'
import { type ReceiptBundle, verifyReceiptBundle } from 'assay/receipt/job/bundle'
import { segmentOutput } from 'assay/wire/segment'
import { segmentInputDigests } from 'assay/wire/segment-digests'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { honestRow } from '../../../test/life/answers.ts'
import { INPUT_CID, openWorld, type World, type WorldNode } from '../../../test/life/world.ts'
import { createFactsCache } from '../life/job-facts.ts'
import type { Content } from '../life/parts.ts'
import { receiptBundle } from './bundle.ts'
import { coordinatorKey } from './coordinator-key.ts'
import { beginLog, type LogKeeper } from './log-store.ts'
import { sealBatch } from './sealer.ts'

let world: World
let keeper: LogKeeper
let nodes: WorldNode[]
let verifier: WorldNode

beforeAll(async () => {
  world = await openWorld()
  keeper = { origin: 'bundle.example/assay', key: await coordinatorKey(world.db) }
  await beginLog(world.db, keeper, world.now().getTime())
  await world.addSubmitter('sam', 1_000_000)
  nodes = []
  for (const operator of ['ann', 'ben', 'cem', 'dee']) nodes.push(await world.addNode(operator))
  verifier = await world.addNode('vera', { role: 'verifier' })
  await world.sweep()
}, 60_000)
afterAll(() => world?.close())

const content: Content = {
  missing: async () => [],
  async *read(cid) {
    const bytes = world.blobs.get(cid)
    if (bytes === undefined) throw new AssayError('blob/missing', `no ${cid}`)
    yield bytes
  },
}

/** Lets nodes and verifier work until the job has ended, and seals it. */
async function finish(
  jobId: string,
  cheat?: { node: WorldNode; row: typeof honestRow },
): Promise<ReceiptBundle> {
  for (let round = 0; round < 200; round++) {
    if ((await world.job(jobId)).state === 'accepted') break
    for (const node of nodes) {
      await world.work(node, { max: 3, ...(cheat?.node === node ? { row: cheat.row } : {}) })
    }
    await world.verify(verifier)
    await world.sweep(1_000)
  }
  expect((await world.job(jobId)).state).toBe('accepted')
  await sealBatch(world.db, { cache: createFactsCache(), keeper, now: world.now().getTime() })
  return receiptBundle(world.db, jobId, { cache: createFactsCache(), content })
}

function outputsOf(rows: number, segmentRows: number) {
  return Array.from({ length: Math.ceil(rows / segmentRows) }, (_, segment) => {
    const range = { from: segment * segmentRows, to: Math.min(rows, (segment + 1) * segmentRows) }
    const all = Array.from({ length: range.to - range.from }, (_, i) =>
      honestRow({ input: INPUT_CID, ...range }, range.from + i),
    )
    return segmentOutput(all).bytes
  })
}

async function check(bundle: ReceiptBundle, { rows, segmentRows }: { rows: number; segmentRows: number }) {
  const verified = await verifyReceiptBundle(bundle, {
    log: { origin: keeper.origin, publicKey: keeper.key.publicKey },
    requireLogged: true,
    requireEvidence: true,
    outputs: outputsOf(rows, segmentRows),
    inputDigest: (segment) => {
      const from = segment * segmentRows
      return segmentInputDigests([
        { input: INPUT_CID, from, to: Math.min(rows, from + segmentRows) },
      ])[0] as Uint8Array
    },
  })
  if (!verified.ok) throw AssayError.fromJSON(verified)
  return verified.value
}

describe('the receipt of a job', () => {
  test('that nobody was asked to validate', async () => {
    const rows = { rows: 5, segmentRows: 2 }
    const bundle = await finish(await world.submit('sam', { ...rows }))
    expect((await check(bundle, rows)).checked).toEqual({ executions: 3, verdicts: 0, outputs: 3 })
  })

  test('with samples by a verifier', async () => {
    const rows = { rows: 12, segmentRows: 4 }
    const validation = { sampling: { share: 1, confidence: 0.6, fakedShare: 0.5 } }
    const bundle = await finish(await world.submit('sam', { ...rows, validation }))
    expect((await check(bundle, rows)).checked).toEqual({ executions: 3, verdicts: 3, outputs: 3 })
  })

  test('with second runs, samples, and a cheat among the nodes', async () => {
    const rows = { rows: 24, segmentRows: 2 }
    const validation = {
      sampling: { share: 0.5, confidence: 0.5, fakedShare: 0.5 },
      redundancy: { share: 1 },
    }
    const jobId = await world.submit('sam', { ...rows, validation })
    const cheat = nodes[3] as WorldNode
    const bundle = await finish(jobId, { node: cheat, row: (_, index) => new Uint8Array([index]) })
    const { statement, checked } = await check(bundle, rows)
    const { validation: shown, faults, nodes: parties, credits } = statement.predicate
    const position = parties.findIndex(({ nodeId }) => nodeId === cheat.id)
    expect(faults.count).toBeGreaterThan(0)
    expect(faults.list.every(({ node }) => node === position)).toBe(true)
    expect(shown.audits.count).toBeGreaterThanOrEqual(12)
    expect(checked.executions).toBeGreaterThanOrEqual(24)
    expect(credits.nodes.reduce((sum, amount) => sum + amount, 0)).toBe(credits.paid)
    expect(credits.nodes[position]).toBe(0)
  })

  test('altered anywhere, it does not hold', async () => {
    const rows = { rows: 4, segmentRows: 2 }
    const whole = await finish(
      await world.submit('sam', { ...rows, validation: { redundancy: { share: 1 } } }),
    )
    await check(whole, rows)
    const altered: ((bundle: ReceiptBundle) => unknown)[] = [
      ({ executions: [first] }) => ((first as { segment: number }).segment += 1),
      ({ executions: [first] }) =>
        ((first as { execution: { signature: string } }).execution.signature = 'AAAA'),
      ({ inclusion }) => ((inclusion as { leafIndex: number }).leafIndex += 1),
      (bundle) => ((bundle as { executions: unknown }).executions = []),
      ({ envelope }) => {
        const signed = envelope as { payload: string }
        const text = Buffer.from(signed.payload, 'base64').toString().replace('"paid":40', '"paid":41')
        signed.payload = Buffer.from(text).toString('base64')
      },
    ]
    for (const alter of altered) {
      const bundle = structuredClone(whole)
      alter(bundle)
      await expect(check(bundle, rows)).rejects.toBeInstanceOf(AssayError)
    }
  })
})
