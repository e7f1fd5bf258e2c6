/** The whole network in one process: real jobs over the public protocol, honest nodes and cheats. */

import { attempt } from 'assay/core/errors'
import { readReceiptBundle } from 'assay/receipt/job/bundle'
import { createClient } from 'assay/wire/client'
import type { JobView } from 'assay/wire/job'
import type { NodeView } from 'assay/wire/manifest'
import { fetchReceipt, fetchResult, verifyJob, waitForJob } from 'assay/wire/submit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cheatParts } from '../../dist/network/cheats.js'
import { digits } from './support/digits.ts'
import { openNetwork, type TestNetwork } from './support/in-process.ts'
import { brokenInvariants } from './support/invariants.ts'
import { seededRandom } from './support/random.ts'
import { tampered } from './support/tamper.ts'
import { orderSums, squares, type TestJob } from './support/work.ts'

/** Rows of whose segments a sample is all of them: no wrong one gets through. */
const SAMPLED = { share: 1, confidence: 0.99, fakedShare: 0.25 }
const START_MS = 60_000
const NODES = [
  { name: 'ada', operator: 'alpha', slots: 2 },
  { name: 'ben', operator: 'beta', slots: 2 },
  { name: 'cleo', operator: 'gamma', slots: 2 },
  { name: 'lazy', operator: 'delta', slots: 2, cheat: cheatParts('lazy') },
  { name: 'altered', operator: 'epsilon', slots: 2, cheat: cheatParts('altered') },
  { name: 'malformed', operator: 'zeta', slots: 2, cheat: cheatParts('malformed') },
]
const HONEST = ['ada', 'ben', 'cleo']

let world: TestNetwork
beforeAll(async () => {
  world = await openNetwork(NODES)
}, START_MS)
afterAll(async () => world?.close(), START_MS)

async function nodesByName(of: TestNetwork = world): Promise<{ [name: string]: NodeView }> {
  const { items } = await of.network.admin.client.listNodes({ query: { limit: 100 } })
  return Object.fromEntries(items.map((node) => [node.manifest.name, node]))
}

/** Runs a job, and checks what came out against this machine. */
async function runRight(job: TestJob, of: TestNetwork = world): Promise<JobView> {
  const { id } = await of.submit(job)
  const ended = await waitForJob(of.submitter, id, { until: 'receipt' })
  expect(ended).toMatchObject({ state: 'accepted', reason: null, receipt: 'ready' })
  const rows = await fetchResult(of.submitter, id)
  expect(rows).toEqual(job.expected)
  const bundle = await fetchReceipt(of.submitter, id)
  const options = {
    job: ended,
    inputCid: job.inputCid,
    rows,
    signer: of.network.coordinatorId,
    requireLogged: true,
  }
  const verdict = await verifyJob(bundle, options)
  expect(verdict.ok ? null : verdict).toBeNull()
  return ended
}

describe('a network with cheats among its nodes', () => {
  it(
    'gives right rows of models, and finds who is wrong',
    async () => {
      const job = await digits(48, {
        segmentRows: 4,
        validation: { redundancy: { share: 0.5 }, sampling: SAMPLED },
      })
      const ended = await runRight(job)
      expect(ended.faults).toBeGreaterThan(0)
    },
    START_MS,
  )

  it(
    'gives right rows of modules',
    async () => {
      await runRight(
        orderSums(40, { segmentRows: 4, validation: { redundancy: { share: 1 }, sampling: SAMPLED } }),
      )
      await runRight(
        squares(200, { segmentRows: 5, validation: { redundancy: { share: 1 }, sampling: SAMPLED } }),
      )
      const nodes = await nodesByName()
      for (const name of HONEST) expect({ name, faults: nodes[name]?.faults }).toEqual({ name, faults: 0 })
    },
    START_MS,
  )

  it('proves with a receipt that holds, and with no other', async () => {
    const job = squares(60, { first: 1000, validation: { redundancy: { share: 0.3 } } })
    const ended = await runRight(job)
    const bundle = await fetchReceipt(world.submitter, ended.id)
    const { coordinatorId: signer } = world.network
    const options = { job: ended, inputCid: job.inputCid, rows: job.expected, signer, requireEvidence: true }
    expect(await verifyJob(bundle, options)).toMatchObject({ ok: true })

    const seed = Math.floor(Math.random() * 2 ** 32)
    const random = seededRandom(seed)
    for (let i = 0; i < 20; i++) {
      const changed = tampered(bundle, random)
      const read = attempt(() => readReceiptBundle(changed.bundle))
      const verdict = read.ok ? await verifyJob(read.value, options) : read
      expect(verdict.ok, `seed ${seed}: ${changed.what}`).toBe(false)
    }
    const otherRows = job.expected.with(7, job.expected[8] as Uint8Array)
    expect(await verifyJob(bundle, { ...options, rows: otherRows })).toMatchObject({ ok: false })
    const { id, spec, seedCommitment } = ended
    for (const other of [
      { id: id.replace(/^.{8}/, '00000000') },
      { seedCommitment: seedCommitment.replace(/^.{8}/, '00000000') },
      { spec: { ...spec, validation: { redundancy: { share: 0.9 } } } },
      { spec: { ...spec, validation: {} } },
      { spec: { ...spec, validation: { ...spec.validation, sampling: SAMPLED } } },
    ]) {
      const verdict = await verifyJob(bundle, { ...options, job: { ...ended, ...other } as JobView })
      expect(verdict).toMatchObject({ ok: false })
    }
  })

  it('lets a job be cancelled, and refunds it', async () => {
    const before = (await world.submitter.balance()).balance
    const { id, escrow } = await world.submit(squares(4000, { segmentRows: 2, pricePerSegment: 1 }))
    expect(escrow).toBe(6000)
    const cancelled = await world.submitter.cancelJob({ params: { id }, body: {} })
    expect(cancelled.state).toBe('cancelled')
    const { balance } = await world.submitter.balance()
    expect(balance).toBe(before - cancelled.spent)
    // Once more changes nothing.
    const again = await world.submitter.cancelJob({ params: { id }, body: {} })
    expect(again).toMatchObject({ state: 'cancelled', spent: cancelled.spent })
    expect((await world.submitter.balance()).balance).toBe(balance)
    await expect(fetchResult(world.submitter, id)).rejects.toMatchObject({ code: 'wire/conflict' })
  })

  it('ends a job that nobody can do at its deadline', async () => {
    const before = (await world.submitter.balance()).balance
    const work = {
      kind: 'chat',
      model: 'nobody-has-it',
      temperature: 0,
      seed: 1,
      maxTokens: 1,
      compare: 'text',
    } as const
    const job = squares(4, { work, deadlineSeconds: 1 })
    const { id } = await world.submit({ ...job, content: [] })
    const ended = await waitForJob(world.submitter, id)
    expect(ended).toMatchObject({ state: 'expired', spent: 0 })
    expect(ended.reason).toContain('deadline')
    expect((await world.submitter.balance()).balance).toBe(before)
  })

  it('shows nobody the job of another', { timeout: START_MS }, async () => {
    const { id } = await world.submit(squares(4))
    const { client: other } = await world.account('other', ['jobs:read', 'jobs:write'])
    const params = { params: { id } }
    const hidden = expect.objectContaining({ code: 'wire/not-found' })
    for (const look of [
      () => other.showJob(params),
      () => other.listSegments(params),
      () => other.jobResult(params),
      () => other.jobReceipt(params),
      () => other.cancelJob({ ...params, body: {} }),
      () => other.jobEvents(params).next(),
    ]) {
      await expect(look()).rejects.toEqual(hidden)
    }
    expect((await other.listJobs()).items).toEqual([])
    await waitForJob(world.submitter, id)
    await expect(other.jobResult(params)).rejects.toEqual(hidden)
    await expect(createClient({ url: world.url }).showJob(params)).rejects.toMatchObject({
      code: 'wire/unauthenticated',
    })
  })

  it('keeps its books', async () => {
    await expect.poll(() => brokenInvariants(world.db), { timeout: 10_000 }).toEqual({})
  })
})

describe('a network of whose nodes a third collude', () => {
  it(
    'gives right rows, and finds the colluders',
    async () => {
      const colluder = () => cheatParts('colluder', { share: 1 })
      const band = await openNetwork([
        { name: 'ada', operator: 'alpha', slots: 2 },
        { name: 'ben', operator: 'beta', slots: 2 },
        { name: 'cleo', operator: 'gamma', slots: 2 },
        { name: 'dan', operator: 'delta', slots: 2 },
        { name: 'one', operator: 'epsilon', slots: 2, cheat: colluder() },
        { name: 'two', operator: 'zeta', slots: 2, cheat: colluder() },
      ])
      try {
        const validation = { redundancy: { share: 1 }, sampling: SAMPLED }
        await runRight(squares(200, { segmentRows: 4, validation }), band)
        const nodes = await nodesByName(band)
        const faults = (name: string) => nodes[name]?.faults ?? -1
        expect(faults('one') + faults('two')).toBeGreaterThan(0)
        expect(['ada', 'ben', 'cleo', 'dan'].map(faults)).toEqual([0, 0, 0, 0])
        await expect.poll(() => brokenInvariants(band.db), { timeout: 10_000 }).toEqual({})
      } finally {
        await band.close()
      }
    },
    START_MS,
  )
})
