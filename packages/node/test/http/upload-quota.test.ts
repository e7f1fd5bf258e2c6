/** Uploads that were begun count as if they were there, at every replica, and whoever only begins them is stopped. */
import { randomBytes } from 'node:crypto'
import { contentAddress } from 'assay/core/cid'
import { uploadBytes } from 'assay/wire/blob-transfer'
import { type Client, createClient } from 'assay/wire/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_ACCOUNT_UPLOADS } from '../../src/coordinator/upload-quota.ts'
import { type Door, openDoor } from './door.ts'

const KIB = 1024
let door: Door
beforeAll(async () => {
  door = await openDoor({ replicas: 2, flags: { blobBytes: 1024 * KIB, maxBlobBytes: 512 * KIB } })
}, 60_000)
afterAll(() => door?.stop())

/** The same account at each replica; nothing is tried twice. */
async function twoDoors(blobBytes = 2 ** 30): Promise<readonly [Client, Client]> {
  const { token } = await door.account({ quota: { jobsPerMinute: 10, queuedSegments: 10, blobBytes } })
  const [one, two] = door.urls.map((url) => createClient({ url, token, maxAttempts: 1 }))
  return [one as Client, two as Client]
}

function begin(
  client: Client,
  sizeBytes: number,
  bytes: Uint8Array = new Uint8Array(randomBytes(sizeBytes)),
) {
  const cid = contentAddress(bytes, 'raw')
  const done = client.beginBlob({ body: { cid, sizeBytes } })
  const append = (offset: number, to: number) =>
    client.appendBlob({ params: { cid }, query: { offset }, body: bytes.subarray(offset, to) })
  return { done, append }
}

const refusal = (quota: string) => ({ code: 'wire/quota', detail: { quota } })

test('what was begun is part of the quota of bytes', async () => {
  const [one, two] = await twoDoors(1000)
  const first = begin(one, 600)
  await first.done
  for (const client of [one, two]) {
    await expect(begin(client, 500).done).rejects.toMatchObject(refusal('blobBytes'))
  }
  await first.append(0, 600)
  for (const client of [one, two]) {
    await expect(begin(client, 500).done).rejects.toMatchObject(refusal('blobBytes'))
  }
  await begin(two, 400).done
})

test('who reserves and sends nothing leaves room for others', async () => {
  const [one, two] = await twoDoors()
  // More than a quarter of the store, as the only one.
  const first = begin(one, 300 * KIB)
  await first.done
  for (const client of [one, two]) {
    await expect(begin(client, 300 * KIB).done).rejects.toMatchObject(refusal('awaitedBytes'))
  }
  const [other] = await twoDoors()
  await begin(other, 100 * KIB).done
  await first.append(0, 200 * KIB)
  await begin(two, 100 * KIB).done
  await first.append(200 * KIB, 300 * KIB)
})

test('there are so many of an account at a time, of what is there already too', async () => {
  const [one, two] = await twoDoors()
  const [owner] = await twoDoors()
  const there = new Uint8Array(randomBytes(100))
  await uploadBytes(owner, there)
  await begin(one, 100, there).done
  const more = Array.from({ length: MAX_ACCOUNT_UPLOADS + 4 }, () => begin(one, 10))
  const ends = await Promise.allSettled(more.map(({ done }) => done))
  expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(MAX_ACCOUNT_UPLOADS - 1)
  await expect(begin(one, 10).done).rejects.toMatchObject(refusal('uploads'))
  const another = new Uint8Array(randomBytes(100))
  await uploadBytes(owner, another)
  await expect(begin(one, 100, another).done).rejects.toMatchObject(refusal('uploads'))
  // One that is open goes on.
  const open = more[ends.findIndex(({ status }) => status === 'fulfilled')]
  expect(await open?.append(0, 10)).toMatchObject({ complete: true })
  await begin(two, 10).done
})

test('a size that no blob may have says nothing of what is there', async () => {
  const [one, two] = await twoDoors()
  const there = new Uint8Array(randomBytes(100))
  await uploadBytes(two, there)
  const [stranger] = await twoDoors()
  for (const bytes of [there, new Uint8Array(randomBytes(100))]) {
    await expect(begin(stranger, 513 * KIB, bytes).done).rejects.toMatchObject({ code: 'blob/too-large' })
  }
  expect(await begin(one, 100, there).done).toMatchObject({ complete: true })
})
