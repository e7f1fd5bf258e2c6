/** Uploads that broke off where nobody would expect it: between their last byte and their name. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contentAddress } from 'assay/core/cid'
import { uploadBytes } from 'assay/wire/blob-transfer'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openBlobs } from '../../src/store/blobs.ts'
import { type Door, openDoor } from './door.ts'

const START_MS = 60_000
const folder = mkdtempSync(join(tmpdir(), 'assay-uploads-'))
let door: Door

beforeAll(async () => {
  door = await openDoor({ flags: { blobFolder: folder } })
}, START_MS)
afterAll(async () => {
  await door?.stop()
  rmSync(folder, { recursive: true, force: true })
}, START_MS)

test('one whose coordinator died before it was finished is finished by the next try', async () => {
  const { client, name } = await door.account()
  const bytes = new Uint8Array(randomBytes(20_000))
  const cid = contentAddress(bytes, 'raw')
  // What another replica leaves behind that is killed in that moment.
  const store = await openBlobs(folder, {
    maxBytes: 2 ** 30,
    maxBlobBytes: 2 ** 20,
    whenFull: 'refuse',
    shared: true,
  })
  const upload = { cid, owner: `account:${name}` }
  await store.begin({ ...upload, sizeBytes: bytes.length })
  await store.append({ ...upload, offset: 0 }, bytes)
  store.close()

  expect(await uploadBytes(client, bytes)).toBe(cid)
  expect(Buffer.compare(await client.readBlob({ params: { cid } }), bytes)).toBe(0)
})

test('many of the same at once all end well', async () => {
  const { client } = await door.account()
  for (let round = 0; round < 5; round++) {
    const bytes = new Uint8Array(randomBytes(20_000))
    const cid = contentAddress(bytes, 'raw')
    const uploads = Array.from({ length: 12 }, () => uploadBytes(client, bytes))
    expect(await Promise.all(uploads)).toEqual(Array(12).fill(cid))
  }
})
