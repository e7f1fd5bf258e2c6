/** A network that keeps things for a day: rows go, receipts stay whole. */
import { fetchReceipt, fetchResult, verifyJob, waitForJob } from 'assay/wire/submit'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkNetwork } from '../../src/coordinator/backup/check.ts'
import { openNetwork, type TestNetwork } from './support/in-process.ts'
import { brokenInvariants } from './support/invariants.ts'
import { squares } from './support/work.ts'

const START_MS = 60_000
let world: TestNetwork
beforeAll(async () => {
  const names = ['ada', 'ben', 'cleo']
  const nodes = names.map((name) => ({ name, operator: `operator-${name}`, slots: 2 }))
  world = await openNetwork(nodes, { coordinator: { keepDays: 1 } })
}, START_MS)
afterAll(async () => world?.close(), START_MS)

it('has the receipts of jobs that it forgot', { timeout: START_MS }, async () => {
  const validation = {
    redundancy: { share: 0.5 },
    sampling: { share: 1, confidence: 0.99, fakedShare: 0.25 },
  }
  const job = squares(60, { validation })
  const { id } = await world.submit(job)
  const ended = await waitForJob(world.submitter, id, { until: 'receipt' })
  const rows = await fetchResult(world.submitter, id)
  const receipt = await fetchReceipt(world.submitter, id)
  await world.db.query("UPDATE job SET ended_at = ended_at - interval '2 days'")
  await expect
    .poll(async () => (await world.db.query('SELECT FROM job WHERE pruned_at IS NOT NULL')).count, {
      timeout: START_MS,
    })
    .toBeGreaterThan(0)
  const left = await world.db.query('SELECT FROM dispatch WHERE job_id = $1', [id])
  expect(left.count).toBe(0)
  await expect(fetchResult(world.submitter, id)).rejects.toMatchObject({ code: 'wire/not-found' })
  const after = await fetchReceipt(world.submitter, id)
  expect(after).toEqual({ ...receipt, inclusion: after.inclusion })
  expect(after.executions.length).toBeGreaterThan(0)
  expect(after.verdicts.length).toBeGreaterThan(0)
  const { coordinatorId: signer } = world.network
  const options = {
    job: ended,
    inputCid: job.inputCid,
    rows,
    signer,
    requireEvidence: true,
    requireLogged: true,
  }
  expect(await verifyJob(after, options)).toMatchObject({ ok: true })
  expect((await checkNetwork(world.db)).faults).toEqual([])
  // Of what is kept by design of every job, its runs alone are gone.
  const broken = Object.keys(await brokenInvariants(world.db))
  expect(broken).toEqual(['an accepted job has one result for each segment'])
})
