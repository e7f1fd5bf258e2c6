/** Streams of events, waiting nodes, replicas over one database, and the end of a service. */
import { toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { downloadBlob, uploadBytes } from 'assay/wire/blob-transfer'
import { createClient } from 'assay/wire/client'
import type { JobSpecInput } from 'assay/wire/job'
import { waitForJob } from 'assay/wire/submit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readCoordinatorConfig } from '../../src/coordinator/config.ts'
import { startCoordinator } from '../../src/coordinator/service.ts'
import { SILENT_LOG } from '../../src/service/log.ts'
import { type Account, type Door, type DoorNode, openDoor } from './door.ts'

const MODULE = utf8('a module')
const SPEC: JobSpecInput = {
  work: {
    kind: 'wasm',
    module: contentAddress(MODULE, 'raw'),
    memoryPages: 1,
    timeLimitMs: 1000,
    maxOutputBytes: 20_000,
  },
  input: { inline: toBase64(encodeRows([utf8('one'), utf8('two')])) },
  rows: 2,
  segmentRows: 1,
  pricePerSegment: 10,
  budget: 20,
}

let door: Door
let alice: Account
let node: DoorNode
beforeAll(async () => {
  door = await openDoor({ replicas: 2, flags: { maxEventStreams: 3 } })
  alice = await door.account()
  node = await door.node()
  await uploadBytes(alice.client, MODULE)
}, 60_000)
afterAll(() => door?.stop())

const elsewhere = (account: Account) => createClient({ url: door.urls[1] as string, token: account.token })

describe('streams of events', () => {
  test('go on behind the last event that was seen, and end with the job', async () => {
    const { id } = await alice.client.submitJob({ body: SPEC })
    await alice.client.cancelJob({ params: { id }, body: {} })
    const all: number[] = []
    for await (const event of alice.client.jobEvents({ params: { id } })) all.push(event.id)
    expect(all.length).toBeGreaterThan(1)
    const rest: number[] = []
    const options = { lastEventId: String(all[0]) }
    for await (const event of elsewhere(alice).jobEvents({ params: { id } }, options)) rest.push(event.id)
    expect(rest).toEqual(all.slice(1))
    const none: number[] = []
    const last = { lastEventId: String(all.at(-1)) }
    for await (const event of alice.client.jobEvents({ params: { id } }, last)) none.push(event.id)
    expect(none).toEqual([])
  })

  test('tell of a job that another replica ends', async () => {
    const { id } = await alice.client.submitJob({ body: SPEC })
    const seen: string[] = []
    const waiting = waitForJob(alice.client, id, { onEvent: ({ type }) => void seen.push(type) })
    await elsewhere(alice).cancelJob({ params: { id }, body: {} })
    expect((await waiting).state).toBe('cancelled')
    expect(seen).toEqual(['job.submitted', 'job.cancelled'])
  })

  test('refuse what is no id of an event', async () => {
    const { id } = await alice.client.submitJob({ body: SPEC })
    for (const lastId of ['x', '-1', '1e3', "1' OR 1=1", '9'.repeat(40)]) {
      const headers = { authorization: `Bearer ${alice.token}`, 'last-event-id': lastId }
      expect(await door.raw({ path: `/v1/jobs/${id}/events`, headers })).toMatchObject({
        status: 400,
        code: 'wire/malformed',
      })
    }
    await alice.client.cancelJob({ params: { id }, body: {} })
  })

  test('are bounded, and give their place back', async () => {
    const { id } = await alice.client.submitJob({ body: SPEC })
    const params = { id }
    const open = [1, 2, 3].map(() => alice.client.jobEvents({ params }))
    await Promise.all(open.map((stream) => stream.next()))
    await expect(alice.client.jobEvents({ params }).next()).rejects.toMatchObject({
      code: 'wire/unavailable',
    })
    await Promise.all(open.map((stream) => stream.return()))
    const { value } = await firstOf(() => alice.client.jobEvents({ params }))
    expect(value?.type).toBe('job.submitted')
    await alice.client.cancelJob({ params, body: {} })
  })
})

describe('two replicas', () => {
  test('give a node that waits at one the work that came to the other', async () => {
    const there = createClient({ url: door.urls[1] as string, nodeKey: node.key })
    const waiting = there.lease({ body: { max: 4, waitMs: 20_000 } })
    const { id } = await alice.client.submitJob({ body: SPEC })
    const { groups } = await waiting
    expect(groups.map(({ jobId }) => jobId)).toEqual([id])
    await alice.client.cancelJob({ params: { id }, body: {} })
  })

  test('know a nonce, a key and a blob that came to the other', async () => {
    const bytes = utf8('at one of them')
    const cid = await uploadBytes(alice.client, bytes)
    expect(await downloadBlob(elsewhere(alice), cid)).toEqual(bytes)
    const idempotencyKey = 'at-both'
    const jobs = await Promise.all(
      [alice.client, elsewhere(alice)].map((client) => client.submitJob({ body: SPEC }, { idempotencyKey })),
    )
    expect(jobs[0]?.id).toBe(jobs[1]?.id)
    await alice.client.cancelJob({ params: { id: jobs[0]?.id as string }, body: {} })
    const random = () => new Uint8Array(16).fill(9)
    const [one, two] = door.urls.map((url) => createClient({ url, nodeKey: node.key, now: () => at, random }))
    const at = Date.now()
    const body = { running: 0, freeSlots: 1, cacheBytes: 0 }
    await one?.heartbeat({ body })
    await expect(two?.heartbeat({ body })).rejects.toMatchObject({ code: 'wire/signature' })
  })

  test('are one network', async () => {
    const [one, two] = await Promise.all([alice.client.network(), elsewhere(alice).network()])
    expect(two.coordinator).toEqual(one.coordinator)
    expect(two.logOrigin).toBe(one.logOrigin)
  })
})

test('a service that stops answers what waits, and ends its streams', async () => {
  const own = await openDoor()
  const submitter = await own.account()
  const solver = await own.node()
  await uploadBytes(submitter.client, MODULE)
  const { id } = await submitter.client.submitJob({ body: SPEC })
  // Whatever there is, so that the next one waits.
  await solver.client.lease({ body: { max: 4 } })
  const waiting = solver.client.lease({ body: { max: 4, waitMs: 20_000 } })
  const stream = submitter.client.jobEvents({ params: { id } }, { maxAttempts: 1 })
  await stream.next()
  await own.stop()
  expect(await waiting).toEqual({ groups: [], drain: false })
  await stream.return()
})

test('a start that fails leaves nothing behind', async () => {
  const flags = { databaseUrl: 'postgres://nobody@127.0.0.1:1/none', blobFolder: '/nonexistent', port: 0 }
  const started = startCoordinator(readCoordinatorConfig({ flags }), { log: SILENT_LOG })
  await expect(started).rejects.toMatchObject({ code: 'store/unavailable' })
})

/** The first event, once a place for the stream is free again. */
async function firstOf<T>(open: () => AsyncGenerator<T>): Promise<IteratorResult<T>> {
  for (;;) {
    const stream = open()
    try {
      const first = await stream.next()
      await stream.return(undefined)
      return first
    } catch (error) {
      if ((error as { code?: string }).code !== 'wire/unavailable') throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
