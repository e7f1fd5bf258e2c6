/**
 * A network of real processes to which everything happens that happens to networks, at random moments and under load.
 * Then it is left in peace, and nothing may be lost, nothing paid twice, and every receipt must hold.
 *
 * The order of faults follows from a seed, which is printed: ASSAY_FAULT_SEED gives it again, ASSAY_FAULTS another
 * number of them, ASSAY_FAULT_KINDS some kinds alone, ASSAY_FAULT_KEEP leaves the logs of all services.
 */
import { uploadBytes } from 'assay/wire/blob-transfer'
import type { Client } from 'assay/wire/client'
import { fetchReceipt, fetchResult, verifyJob } from 'assay/wire/submit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { brokenInvariants } from '../network/support/invariants.ts'
import { seededRandom } from '../network/support/random.ts'
import { type Drawn, drawFaults, heal, runFaults } from './campaign.ts'
import { type Load, startLoad } from './load.ts'
import { type LogWatch, watchLog } from './log-watch.ts'
import type { Answer } from './relay.ts'
import { type FaultWorld, openFaultWorld } from './world.ts'

const SEED = Number(process.env.ASSAY_FAULT_SEED ?? Math.floor(Math.random() * 2 ** 32))
const FAULTS = Number(process.env.ASSAY_FAULTS ?? 200)
const KINDS = new RegExp(process.env.ASSAY_FAULT_KINDS ?? '')
/** More than the time of the faults has room for. */
const MOST_JOBS = 1_000
const START_MS = 120_000
/** Six minutes on two cores of its own; several times that beside other work. */
const CAMPAIGN_MS = 1_500_000
/** Of some hundred results and receipts, one after the other. */
const LOOK_MS = 300_000
const FIRST = { timeout: 300_000, interval: 500 }
const PATIENT = { timeout: 60_000, interval: 500 }

const random = seededRandom(SEED)
const stop = new AbortController()
let world: FaultWorld
let load: Load
let watch: LogWatch
let drawn: readonly Drawn[]

beforeAll(async () => {
  world = await openFaultWorld()
}, START_MS)
afterAll(async () => {
  stop.abort()
  await world?.close()
}, START_MS)

describe(`faults of seed ${SEED}`, () => {
  it('come over a network under load, which ends all its jobs', { timeout: CAMPAIGN_MS }, async () => {
    const started = performance.now()
    console.info(`ASSAY_FAULT_SEED=${SEED} ASSAY_FAULTS=${FAULTS} ${world.folder}`)
    load = await startLoad(world.submitters, { seed: SEED, most: MOST_JOBS, signal: stop.signal })
    watch = watchLog(world.submitters, stop.signal)
    await expect.poll(() => load.submitted.some(({ ended }) => ended !== null), FIRST).toBe(true)
    drawn = drawFaults(world, { random, count: FAULTS, only: KINDS })
    await runFaults(drawn)
    const faultsMs = performance.now() - started
    await heal(world)
    await load.finish()
    const seconds = (ms: number) => Math.round(ms / 1000)
    console.info(
      `faults for ${seconds(faultsMs)} s, all ended after ${seconds(performance.now() - started)} s`,
    )
    const byKind = new Map<string, number>()
    for (const { kind } of drawn) byKind.set(kind, (byKind.get(kind) ?? 0) + 1)
    console.info([...byKind].map(([kind, count]) => `${count} × ${kind}`).join('\n'))
    console.info('met by the submitter:', Object.fromEntries(load.errors))
    await report(world, load)
    expect(drawn).toHaveLength(FAULTS)
  })

  it('lose no job, and make none twice', async () => {
    const { rows } = await world.db.query<{ id: string; state: string; reason: string | null }>(
      "SELECT id, state, reason FROM job WHERE submitter = 'submitter' AND NOT is_canary",
    )
    const promised = load.submitted.flatMap(({ ids }) => [...ids])
    expect(load.submitted.filter(({ ids }) => ids.size !== 1)).toEqual([])
    expect(rows.map(({ id }) => id).toSorted()).toEqual(promised.toSorted())
    expect(rows.filter(({ state }) => state !== 'accepted')).toEqual([])
  })

  it('leave every result right, with a receipt that holds', { timeout: LOOK_MS }, async () => {
    const client = world.admin()
    for (const { job, ids } of load.submitted) {
      const [id] = ids as unknown as [string]
      const [owner] = world.submitters
      if (owner === undefined) throw new Error('no submitter')
      const rows = await fetchResult(owner, id)
      expect(rows.every((row, i) => Buffer.compare(row, job.expected[i] as Uint8Array) === 0)).toBe(true)
      expect(rows).toHaveLength(job.expected.length)
      const bundle = await fetchReceipt(owner, id)
      const ended = await client.showJob({ params: { id } })
      const verdict = await verifyJob(bundle, {
        job: ended,
        inputCid: job.inputCid,
        rows,
        signer: world.coordinatorId as never,
        requireLogged: true,
      })
      expect(verdict.ok ? null : verdict).toBeNull()
    }
  })

  it('leave a log that only grew', async () => {
    await watch.finish()
    console.info('the log:', Object.fromEntries(watch.outcomes))
    const { ok = 0, stale = 0, ...others } = Object.fromEntries(watch.outcomes)
    expect(others).toEqual({})
    expect(ok + stale).toBeGreaterThan(0)
  })

  it('let no request be done twice', () => {
    const isDone = (answer: Answer | null) => answer !== null && answer.status < 300
    const both = world.repeats.filter(({ first, second }) => isDone(first) && isDone(second))
    expect(both.filter(({ isSigned }) => isSigned)).toEqual([])
    const made = both.filter(({ method, path }) => method === 'POST' && path === '/v1/jobs')
    const idOf = (answer: Answer | null) => (JSON.parse(answer?.text ?? '{}') as { id: string }).id
    for (const { first, second } of made) expect(idOf(second)).toBe(idOf(first))
  })

  it('lose no upload for which there was no room', async () => {
    const [owner] = world.submitters as [Client]
    for (const bytes of world.refusedUploads) {
      const cid = await uploadBytes(owner, bytes)
      expect(Buffer.compare(await owner.readBlob({ params: { cid } }), bytes)).toBe(0)
    }
  })

  it('end no service but those that were told to end', () => {
    const services = [...world.coordinators, ...world.nodes, world.verifier].map(({ service }) => service)
    const endings = services.flatMap(({ name, endings: own }) => own.map((each) => ({ name, ...each })))
    // One that cannot start without what is away may give up; systemd starts it again.
    expect(endings.filter(({ asked, hadServed }) => asked === null && hadServed)).toEqual([])
    const drained = endings.filter(({ asked, hadServed }) => asked === 'SIGTERM' && hadServed)
    expect(drained.filter(({ code }) => code !== 0)).toEqual([])
  })

  it('accuse nobody, and leave everybody at work', async () => {
    const look = async () => {
      const { items } = await world.admin().listNodes({ query: { limit: 100 } })
      return items.filter(({ state }) => state !== 'online').map(({ manifest }) => manifest.name)
    }
    await expect.poll(look, PATIENT).toEqual([])
    const { items } = await world.admin().listNodes({ query: { limit: 100 } })
    expect(items).toHaveLength(world.nodes.length + 1)
    expect(items.filter(({ faults }) => faults > 0).map(({ manifest }) => manifest.name)).toEqual([])
  })

  it('leave the books in order', async () => {
    await expect.poll(() => brokenInvariants(world.db), PATIENT).toEqual({})
  })
})

/** What happened, in figures. */
async function report({ db, nodes, repeats, refusedUploads, ...world }: FaultWorld, { submitted }: Load) {
  const count = async (sql: string) =>
    (await db.query<{ n: number }>(`SELECT (${sql})::integer AS n`)).rows[0]?.n
  const services = [...world.coordinators, ...nodes, world.verifier].map(({ service }) => service)
  const refusals = nodes.flatMap(({ ways }) => ways.map(({ relay }) => relay.clockRefusals()))
  console.info({
    jobs: submitted.length,
    segments: submitted.reduce(
      (sum, { job: { draft } }) => sum + Math.ceil(draft.rows / draft.segmentRows),
      0,
    ),
    requeued: await count("SELECT count(*) FROM event WHERE type = 'segment.requeued'"),
    audits: await count("SELECT count(*) FROM event WHERE type = 'segment.audited'"),
    transfers: await count('SELECT count(*) FROM transfer'),
    restarts: services.reduce((sum, { endings }) => sum + endings.length, 0),
    'refused for their clock': refusals.reduce((sum, each) => sum + each, 0),
    'sent twice': repeats.length,
    'refused for want of room': refusedUploads.length,
    'killed databases': world.database.kills,
  })
}
