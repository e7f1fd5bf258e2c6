/** Every operation of the protocol, as its client calls it: the client checks each answer against its schema. */
import { toBase64, toHex, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { type Operation, ROUTES } from 'assay/wire/api'
import { downloadBlob, uploadBytes } from 'assay/wire/blob-transfer'
import { createClient } from 'assay/wire/client'
import type { JobSpecInput } from 'assay/wire/job'
import { isFinal } from 'assay/wire/life'
import { fetchReceipt, fetchResult, submitJob, verifyJob, waitForJob } from 'assay/wire/submit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { answer, honestRow, verdictOf } from '../life/answers.ts'
import { type Account, type Door, type DoorNode, freshName, openDoor } from './door.ts'

const MODULE = utf8('a module')
const INPUT = encodeRows([utf8('one'), utf8('two'), utf8('three')])
const SPEC: JobSpecInput = {
  work: {
    kind: 'wasm',
    module: contentAddress(MODULE, 'raw'),
    memoryPages: 1,
    timeLimitMs: 1000,
    maxOutputBytes: 20_000,
  },
  input: { inline: toBase64(INPUT) },
  rows: 3,
  segmentRows: 1,
  pricePerSegment: 10,
  budget: 90,
}

let door: Door
let submitter: Account
let solver: DoorNode
let other: DoorNode
let verifier: DoorNode
beforeAll(async () => {
  door = await openDoor()
  submitter = await door.account()
  solver = await door.node()
  other = await door.node()
  verifier = await door.node({ role: 'verifier' })
  const job = await submitJob(submitter.client, SPEC, { input: INPUT, content: [MODULE] })
  await finish(job.id)
}, 60_000)
afterAll(() => door?.stop())

/** Both nodes work until the job is over: newcomers are audited, each by the other. */
async function finish(id: string, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  await waitUntil(async () => {
    await solver.work()
    await other.work()
    await meanwhile()
    return isFinal((await submitter.client.showJob({ params: { id } })).state)
  })
}

const used = new Set<string>()
/** Remembers which operations were called. */
function watched<T extends object>(client: T): T {
  return new Proxy(client, {
    get(target, name, receiver) {
      if (typeof name === 'string' && name in ROUTES) used.add(name)
      return Reflect.get(target, name, receiver)
    },
  })
}

test('the network and its log are there for everybody', async () => {
  const client = watched(submitter.client)
  const network = await client.network()
  expect(network).toMatchObject({ name: 'assay', jobs: expect.any(Number) })
  await waitUntil(async () => (await client.logEntries({ query: { from: 0 } })).leaves.length > 0)
  const checkpoint = await client.checkpoint()
  expect(checkpoint).toContain(network.logOrigin)
  const proof = await client.logInclusion({ query: { index: 0 } })
  expect(proof.index).toBe(0)
  const { path } = await client.logConsistency({ query: { from: 0, to: proof.size } })
  expect(path).toEqual([])
})

test('a job from its submission to its receipt', async () => {
  const client = watched(submitter.client)
  const job = await client.submitJob({ body: SPEC })
  expect(job).toMatchObject({ state: 'running', escrow: 90, segments: { total: 3, queued: 3 } })
  expect(await client.showJob({ params: { id: job.id } })).toEqual(job)
  const before = await client.listSegments({ params: { id: job.id } })
  expect(before.items.map(({ state }) => state)).toEqual(['queued', 'queued', 'queued'])
  await expect(client.jobResult({ params: { id: job.id } })).rejects.toMatchObject({ code: 'wire/conflict' })
  await expect(client.jobReceipt({ params: { id: job.id } })).rejects.toMatchObject({ code: 'wire/conflict' })

  const node = watched(solver.client)
  expect((await node.heartbeat({ body: { running: 0, freeSlots: 8, cacheBytes: 0 } })).drain).toBe(false)
  const { groups } = await node.lease({ body: { max: 64, waitMs: 5_000 } })
  const leases = groups.flatMap(({ segments }) => segments)
  expect(leases).toHaveLength(3)
  const held = leases.map(({ id, fence }) => ({ id, fence }))
  const elsewhere = '00000000-0000-7000-8000-000000000000'
  expect(await node.renewLeases({ body: { leases: [...held, { id: elsewhere, fence: 1 }] } })).toEqual({
    lost: [elsewhere],
  })
  const during = await client.showJob({ params: { id: job.id } })
  expect(during.segments).toMatchObject({ queued: 0, leased: 3 })
  const [first] = held as [(typeof held)[number]]
  await node.failures({ body: { failures: [{ ...first, code: 'x', message: 'no', retryElsewhere: false }] } })
  expect(await node.renewLeases({ body: { leases: held } })).toEqual({ lost: [first.id] })
  // The rest by hand, the one that came back by whoever asks next.
  const rest = groups.map((group) => ({
    ...group,
    segments: group.segments.filter(({ id }) => id !== first.id),
  }))
  const { outcomes } = await node.results({ body: await answer(solver, rest) })
  expect(outcomes.map(({ state }) => state)).not.toContain('refused')
  expect((await node.results({ body: await answer(solver, rest) })).outcomes.map(({ id }) => id)).toEqual(
    outcomes.map(({ id }) => id),
  )
  await finish(job.id)

  const events: string[] = []
  const ended = await waitForJob(client, job.id, {
    until: 'receipt',
    onEvent: ({ type }) => void events.push(type),
  })
  expect(ended).toMatchObject({ state: 'accepted', spent: 30, escrow: 0, receipt: 'ready' })
  expect(events[0]).toBe('job.submitted')
  expect(events).toContain('job.accepted')
  expect(events.at(-1)).toBe('receipt.sealed')

  const rows = await fetchResult(client, job.id)
  const inputCid = contentAddress(INPUT, 'raw')
  expect(rows.map(toHex)).toEqual(
    [0, 1, 2].map((i) => toHex(honestRow({ input: inputCid, from: 0, to: 3 }, i))),
  )
  const { items } = await client.listSegments({ params: { id: job.id }, query: { limit: 2 } })
  expect(items).toMatchObject([
    { index: 0, state: 'accepted' },
    { index: 1, state: 'accepted' },
  ])
  // An audit runs a segment on both, and either one's output may be the segment's.
  for (const { nodeId } of items) expect([solver.id, other.id]).toContain(nodeId)
  const receipt = await fetchReceipt(client, job.id)
  expect(await client.jobReceipt({ params: { id: job.id } })).toEqual(receipt)
  const { coordinator } = await client.network()
  const verdict = await verifyJob(receipt, {
    job: ended,
    inputCid,
    rows,
    signer: coordinator.nodeId,
    requireLogged: true,
  })
  expect(verdict).toMatchObject({ ok: true })
  const altered = rows.with(0, utf8('altered'))
  expect(await verifyJob(receipt, { job: ended, inputCid, rows: altered })).toMatchObject({ ok: false })
  used.add('jobEvents')
})

test('a job that is sampled, by a verifier that waits', async () => {
  const client = watched(verifier.client)
  const waiting = client.leaseVerifications({ body: { max: 8, waitMs: 20_000 } })
  const validation = { sampling: { share: 1, confidence: 0.5, fakedShare: 1 } }
  const job = await submitter.client.submitJob({ body: { ...SPEC, validation } })
  await solver.work()
  const { verifications } = await waiting
  expect(verifications.length).toBeGreaterThan(0)
  let leases = verifications
  await finish(job.id, async () => {
    const at = new Date()
    const verdicts = await Promise.all(
      leases.map((lease) => verdictOf(verifier, lease, { blobs: new Map(), at })),
    )
    if (verdicts.length > 0)
      expect(await client.verdicts({ body: { verdicts, retry: [] } })).toEqual({ stale: [] })
    leases = (await client.leaseVerifications({ body: { max: 8 } })).verifications
  })
  expect(await submitter.client.showJob({ params: { id: job.id } })).toMatchObject({ state: 'accepted' })
})

test('a segment that is compared looks like one that is under way', async () => {
  const spec = { ...SPEC, validation: { redundancy: { share: 1 } }, budget: 4 * SPEC.budget }
  const { id } = await submitJob(submitter.client, spec, { input: INPUT, content: [MODULE] })
  await waitUntil(async () => (await solver.work()) > 0)
  const { rows } = await door.db.query('SELECT state FROM dispatch WHERE job_id = $1', [id])
  expect(rows).toContainEqual({ state: 'committed' })
  const { items } = await submitter.client.listSegments({ params: { id } })
  expect(new Set(items.map(({ state }) => state))).toEqual(new Set(['leased']))
  await finish(id)
})

test('known answers, of a job whose segments were all compared', async () => {
  const client = watched(door.admin.client)
  const plain = await submitter.client.submitJob({ body: SPEC })
  await expect(client.addCanary({ body: { jobId: plain.id } })).rejects.toMatchObject({
    code: 'canary/answers',
  })
  await submitter.client.cancelJob({ params: { id: plain.id }, body: {} })
  const compared = await submitter.client.submitJob({
    body: { ...SPEC, validation: { redundancy: { share: 1 } } },
  })
  await finish(compared.id)
  expect(await client.addCanary({ body: { jobId: compared.id } })).toEqual({
    pool: expect.any(Number),
    rows: 3,
  })
})

test('jobs in pages, newest first, and cancelled ones', async () => {
  const own = await door.account()
  const client = watched(own.client)
  await uploadBytes(client, MODULE)
  const ids: string[] = []
  for (let i = 0; i < 3; i++) ids.push((await client.submitJob({ body: SPEC })).id)
  const cancelled = await client.cancelJob({ params: { id: ids[1] as string }, body: {} })
  expect(cancelled).toMatchObject({ state: 'cancelled', escrow: 0 })
  expect(await client.cancelJob({ params: { id: ids[1] as string }, body: {} })).toEqual(cancelled)
  const first = await client.listJobs({ query: { limit: 2 } })
  const second = await client.listJobs({ query: { limit: 2, cursor: first.nextCursor as string } })
  expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids.toReversed())
  expect(second.nextCursor).toBeNull()
  const { items } = await client.listJobs({ query: { state: 'cancelled' } })
  expect(items).toEqual([cancelled])
  for (const id of [ids[0], ids[2]]) await client.cancelJob({ params: { id: id as string }, body: {} })
})

test('blobs of accounts and of nodes', async () => {
  const bytes = new Uint8Array(100_000).map((_, i) => i)
  const cid = await uploadBytes(watched(submitter.client), bytes, { partBytes: 40_000 })
  expect(await downloadBlob(watched(submitter.client), cid)).toEqual(bytes)
  expect(await downloadBlob(watched(verifier.client), cid, { side: 'node' })).toEqual(bytes)
  const output = utf8('an output')
  const own = await uploadBytes(watched(solver.client), output, { side: 'node' })
  expect(await downloadBlob(solver.client, own, { side: 'node' })).toEqual(output)
  for (const name of [
    'beginBlob',
    'appendBlob',
    'readBlob',
    'beginNodeBlob',
    'appendNodeBlob',
    'readNodeBlob',
  ])
    used.add(name)
})

test('nodes: registered, seen, drained, and back', async () => {
  const client = watched(door.admin.client)
  const { id, manifest, enrolment } = await door.node()
  expect(await client.showNode({ params: { id } })).toMatchObject({
    id,
    state: 'online',
    standing: 'probation',
  })
  const { items } = await client.listNodes({ query: { limit: 100 } })
  expect(items.map((node) => node.id)).toContain(id)
  expect(await client.drainNode({ params: { id }, body: { drain: true } })).toMatchObject({
    state: 'draining',
  })
  expect(await client.drainNode({ params: { id }, body: { drain: false } })).toMatchObject({
    state: 'online',
  })
  const renewed = await watched(solver.client).registerNode({
    body: { manifest: { ...solver.manifest, slots: 9 }, enrolment: solver.enrolment },
  })
  expect(renewed.manifest.slots).toBe(9)
  expect([manifest.role, enrolment.length > 0]).toEqual(['solver', true])
})

test('a node that drains is told so, and gets nothing', async () => {
  const node = await door.node()
  await door.admin.client.drainNode({ params: { id: node.id }, body: { drain: true } })
  expect(await node.client.lease({ body: { max: 1, waitMs: 20_000 } })).toEqual({ groups: [], drain: true })
  expect(await node.client.heartbeat({ body: { running: 0, freeSlots: 0, cacheBytes: 0 } })).toMatchObject({
    drain: true,
  })
})

test('keys and the ledger', async () => {
  const client = watched(door.admin.client)
  const name = freshName('keyholder')
  const { key, token } = await client.makeKey({ body: { account: name, scopes: ['jobs:read'] } })
  expect(key).toMatchObject({ account: name, revokedAt: null })
  const account = `submitter:${name}`
  expect(await client.deposit({ body: { account, amount: 5, note: 'a gift' } })).toEqual({
    account,
    balance: 5,
  })
  const own = watched(createClient({ url: door.url, token }))
  expect(await own.balance()).toEqual({ account, balance: 5 })
  expect((await own.transfers()).items).toMatchObject([
    { from: 'issued', to: account, amount: 5, note: 'a gift' },
  ])
  await expect(own.transfers({ query: { account: 'issued' } })).rejects.toMatchObject({
    code: 'wire/forbidden',
  })
  const { items } = await client.accounts({ query: { limit: 500 } })
  expect(items.reduce((sum, { balance }) => sum + balance, 0)).toBe(0)
  const page = await client.transfers({ query: { account: 'issued', limit: 1 } })
  expect(page.items).toHaveLength(1)
  expect((await client.listKeys({ query: { limit: 500 } })).items.map(({ id }) => id)).toContain(key.id)
  expect((await client.revokeKey({ params: { id: key.id } })).revokedAt).not.toBeNull()
  await expect(own.balance()).rejects.toMatchObject({ code: 'wire/unauthenticated' })
})

test('events of the network, from now on', async () => {
  const watcher = await door.account({ scopes: ['network:read'] })
  const controller = new AbortController()
  const stream = watched(watcher.client).networkEvents({}, { signal: controller.signal })
  const next = stream.next()
  // Until the stream has joined, what happens is before its time.
  const timer = setInterval(() => void door.account().catch(() => undefined), 100)
  const { value } = await next
  clearInterval(timer)
  expect(value?.id).toBeGreaterThan(0)
  controller.abort()
  await expect(stream.next()).rejects.toThrow()
})

describe('for operators', () => {
  test('health, readiness, metrics and the document', async () => {
    expect(await door.raw({ path: '/healthz' })).toMatchObject({ status: 200, text: '{"status":"ok"}' })
    expect(await door.raw({ path: '/readyz' })).toMatchObject({ status: 200 })
    const { text } = await door.raw({ path: '/metrics' })
    expect(text).toContain('assay_jobs_submitted_total')
    expect(text).toMatch(
      /assay_http_request_seconds_count\{method="POST",route="\/v1\/jobs",status="201"\} [1-9]/,
    )
    const { text: document } = await door.raw({ path: '/v1/openapi.json' })
    expect(Object.keys(JSON.parse(document).paths)).toContain('/v1/jobs/{id}')
  })

  test('a request keeps the id that a proxy gave it', async () => {
    const { headers } = await door.raw({ path: '/healthz', headers: { 'x-request-id': 'proxy-12345' } })
    expect(headers['x-request-id']).toBe('proxy-12345')
  })
})

test('every operation was called', () => {
  const missing = (Object.keys(ROUTES) as Operation[]).filter((operation) => !used.has(operation))
  expect(missing).toEqual([])
})

async function waitUntil(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 50))
}
