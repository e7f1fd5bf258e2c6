import { afterEach, describe, expect, it } from 'vitest'
import { contentAddress } from '../core/cid.ts'
import { addressOf, downloadBlob, uploadBytes } from './blob-transfer.ts'
import { createClient } from './client.ts'
import { type Asked, json, problem, serve, type TestServer } from './testing/server.ts'

const servers: TestServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251)
const cid = contentAddress(bytes, 'raw')

async function connect(handler: Parameters<typeof serve>[0]) {
  const server = await serve(handler)
  servers.push(server)
  return {
    server,
    client: createClient({ url: server.url, token: 't', sleep: async () => undefined }),
  }
}

/** A store of one blob, as the coordinator has it. */
function store() {
  let stored = Buffer.alloc(0)
  const status = (sizeBytes: number) => ({
    cid,
    sizeBytes,
    storedBytes: stored.length,
    complete: stored.length === sizeBytes,
  })
  return {
    begin: () => status(bytes.length),
    append: ({ path, body }: Asked) => {
      const offset = Number(new URL(path, 'http://x').searchParams.get('offset'))
      if (offset !== stored.length) return undefined
      stored = Buffer.concat([stored, body])
      return status(bytes.length)
    },
    bytes: () => stored,
  }
}

describe('uploads', () => {
  it('go in parts, and go on where they broke off', async () => {
    const blob = store()
    let appended = 0
    const { server, client } = await connect((asked, answer) => {
      if (asked.method === 'POST') return json(answer, blob.begin())
      const status = blob.append(asked)
      appended++
      // Stored, and the answer lost: the next try does not fit any more.
      if (appended === 2) return void answer.destroy()
      return status === undefined
        ? problem(answer, { code: 'blob/offset', status: 409 })
        : json(answer, status)
    })
    const sent: number[] = []
    const onProgress = ({ sentBytes }: { sentBytes: number }) => void sent.push(sentBytes)
    expect(await uploadBytes(client, bytes, { partBytes: 300, onProgress })).toBe(cid)
    expect(blob.bytes().equals(bytes)).toBe(true)
    expect(sent).toEqual([0, 300, 600, 900, 1000])
    // And what is there is not sent again.
    const before = server.asked.length
    expect(await uploadBytes(client, bytes)).toBe(cid)
    expect(server.asked).toHaveLength(before + 1)
  })

  it('wait for whoever is finishing the same, and begin anew where another finished it', async () => {
    const whole = { cid, sizeBytes: bytes.length, storedBytes: bytes.length }
    const none = { ...whole, storedBytes: 0, complete: false }
    const answers = [
      'blob/busy',
      { ...whole, complete: false },
      none,
      // Of its only part: by then it was somebody else's.
      none,
      none,
      'blob/missing',
      none,
      { ...whole, complete: true },
    ]
    const { server, client } = await connect((_, answer) => {
      const next = answers.shift()
      if (typeof next !== 'string') return json(answer, next)
      problem(answer, { code: next, status: next === 'blob/busy' ? 409 : 404 })
    })
    expect(await uploadBytes(client, bytes)).toBe(cid)
    const methods = ['POST', 'POST', 'POST', 'PATCH', 'POST', 'PATCH', 'POST', 'PATCH']
    expect(server.asked.map(({ method }) => method)).toEqual(methods)
  })

  it('of nothing are uploads too', async () => {
    const empty = contentAddress(new Uint8Array(), 'raw')
    const { server, client } = await connect(({ method }, answer) =>
      json(answer, { cid: empty, sizeBytes: 0, storedBytes: 0, complete: method === 'PATCH' }),
    )
    expect(await uploadBytes(client, new Uint8Array())).toBe(empty)
    expect(server.asked).toHaveLength(2)
  })

  it('end where the service does not go on, and where it finds other bytes', async () => {
    const stuck = await connect((_, answer) =>
      json(answer, { cid, sizeBytes: bytes.length, storedBytes: 10, complete: false }),
    )
    await expect(uploadBytes(stuck.client, bytes, { partBytes: 10 })).rejects.toMatchObject({
      code: 'wire/answer',
    })
    const never = await connect(({ method }, answer) =>
      method === 'POST'
        ? json(answer, { cid, sizeBytes: bytes.length, storedBytes: 0, complete: false })
        : problem(answer, { code: 'blob/offset', status: 409 }),
    )
    await expect(uploadBytes(never.client, bytes)).rejects.toMatchObject({ code: 'blob/offset' })
    const other = await connect(({ method }, answer) =>
      method === 'POST'
        ? json(answer, { cid, sizeBytes: bytes.length, storedBytes: 0, complete: false })
        : problem(answer, { code: 'blob/mismatch', status: 422 }),
    )
    await expect(uploadBytes(other.client, bytes)).rejects.toMatchObject({ code: 'blob/mismatch' })
  })
})

describe('downloads', () => {
  it('go on where they broke off, and are checked', async () => {
    const { server, client } = await connect(({ headers }, answer) => {
      const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
      answer.writeHead(from > 0 ? 206 : 200, { 'content-length': String(bytes.length - from) })
      if (from >= 800) return void answer.end(bytes.subarray(from))
      answer.write(bytes.subarray(from, from + 400), () => answer.destroy())
    })
    expect(await downloadBlob(client, cid)).toEqual(bytes)
    expect(server.asked.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=400-', 'bytes=800-'])
  })

  it('pass over what they have where the service begins at the beginning', async () => {
    const { server, client } = await connect((_, answer) => {
      answer.writeHead(200, { 'content-length': String(bytes.length) })
      if (server.asked.length === 2) return void answer.end(bytes)
      answer.write(bytes.subarray(0, 10), () => answer.destroy())
    })
    expect(await downloadBlob(client, cid)).toEqual(bytes)
  })

  it('of other bytes are refused, and of too many', async () => {
    const { client } = await connect((_, answer) => void answer.end(bytes.subarray(1)))
    await expect(downloadBlob(client, cid)).rejects.toMatchObject({ code: 'cid/mismatch' })
    await expect(downloadBlob(client, cid, { maxBytes: 5 })).rejects.toMatchObject({ code: 'wire/too-large' })
    await expect(downloadBlob(client, 'bnonsense')).rejects.toMatchObject({ code: 'cid/malformed' })
  })
})

it('addresses are those of the core', async () => {
  expect(await addressOf(bytes)).toBe(cid)
  expect(await addressOf(bytes, 'dag-cbor')).toBe(contentAddress(bytes, 'dag-cbor'))
})
