import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { utf8 } from '../core/bytes.ts'
import { createClient } from './client.ts'
import { MAX_EVENT_BYTES, parseEventStream, type ServerSentEvent } from './events-stream.ts'
import { problem, serve, type TestServer } from './testing/server.ts'

async function* pieces(bytes: Uint8Array, sizes: readonly number[]) {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    yield bytes.subarray(at, at + size)
    at += size
  }
}

async function parse(text: string, sizes: readonly number[] = [7]): Promise<ServerSentEvent[]> {
  const events: ServerSentEvent[] = []
  for await (const event of parseEventStream(pieces(utf8(text), sizes))) events.push(event)
  return events
}

describe('server-sent events', () => {
  it('are what was written, however it is cut and ended', async () => {
    const events = fc.array(fc.record({ id: fc.nat().map(String), data: fc.string({ unit: 'binary' }) }), {
      maxLength: 5,
    })
    const ends = fc.constantFrom('\n', '\r\n', '\r')
    const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 })
    await fc.assert(
      fc.asyncProperty(events, ends, sizes, async (list, end, cuts) => {
        const lines = list.flatMap(({ id, data }) => [
          ': comment',
          `id: ${id}`,
          'event: job.accepted',
          ...data.split(/\r\n|\r|\n/).map((line) => `data: ${line}`),
          '',
        ])
        // A CR at the very end waits for its LF.
        const text = `${lines.join(end)}${end}:${end}`
        const expected = list.map(({ id, data }) => ({
          id,
          event: 'job.accepted',
          // Half of a surrogate pair has no UTF-8.
          data: new TextDecoder().decode(utf8(data.split(/\r\n|\r|\n/).join('\n'))),
        }))
        expect(await parse(text, cuts)).toEqual(expected)
      }),
    )
  })

  it('are told from comments, from fields without a colon, and from what has no data', async () => {
    expect(await parse(': hello\n\ndata\n\nid: 4\n\ndata:x\nretry: 5\n\ndata: unfinished')).toEqual([
      { id: '', event: 'message', data: '' },
      { id: '4', event: 'message', data: 'x' },
    ])
  })

  it('have a cap, in one line and in many', async () => {
    const line = 'x'.repeat(2 ** 16)
    const endless = Array(20).fill(`data: ${line}`).join('\n')
    await expect(parse(endless, [2 ** 16])).rejects.toMatchObject({ code: 'wire/too-large' })
    await expect(parse(`data: ${'x'.repeat(MAX_EVENT_BYTES + 10)}`, [2 ** 16])).rejects.toMatchObject({
      code: 'wire/too-large',
    })
  })
})

describe('following events', () => {
  const servers: TestServer[] = []
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()))
  })
  const event = (id: number) => ({
    id,
    at: '2026-01-01T00:00:00.000Z',
    type: 'job.progress',
    jobId: null,
    nodeId: null,
    segment: null,
    data: {},
  })
  const written = (id: number) => `id: ${id}\nevent: job.progress\ndata: ${JSON.stringify(event(id))}\n\n`
  const client = (url: string) =>
    createClient({ url, token: 't', sleep: async () => undefined, timeoutMs: 500 })

  it('goes on behind the last one after every break, until the end', async () => {
    const server = await serve((_, answer) => {
      const from = Number(server.asked.at(-1)?.headers['last-event-id'] ?? 0)
      if (server.asked.length === 2) return problem(answer, { code: 'wire/unavailable', status: 503 })
      answer.writeHead(200, { 'content-type': 'text/event-stream' })
      answer.write(`: hello\n\n${written(from + 1)}${written(from + 2)}`)
      if (from >= 4) return void answer.end('event: end\ndata: {}\n\n')
      // Cut in the middle of the next one.
      answer.write(written(from + 3).slice(0, 20), () => answer.destroy())
    })
    servers.push(server)
    const seen: number[] = []
    for await (const { id } of client(server.url).jobEvents({ params: { id: 'x' } })) seen.push(id)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6])
    expect(server.asked.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2', '2', '4'])
  })

  it('ends when the caller leaves, or aborts', async () => {
    const server = await serve((_, answer) => {
      answer.writeHead(200, { 'content-type': 'text/event-stream' })
      answer.write(written(1))
    })
    servers.push(server)
    for await (const { id } of client(server.url).networkEvents()) {
      expect(id).toBe(1)
      break
    }
    const controller = new AbortController()
    const stream = client(server.url).networkEvents({}, { signal: controller.signal })
    await stream.next()
    const next = stream.next()
    controller.abort(new Error('enough'))
    await expect(next).rejects.toThrow('enough')
  })

  it('tells what cannot be waited out', async () => {
    const forbidden = await serve((_, answer) => problem(answer, { code: 'wire/forbidden', status: 403 }))
    const nonsense = await serve((_, answer) => void answer.end('data: no JSON\n\n'))
    servers.push(forbidden, nonsense)
    await expect(client(forbidden.url).networkEvents().next()).rejects.toMatchObject({
      code: 'wire/forbidden',
    })
    await expect(client(nonsense.url).networkEvents().next()).rejects.toMatchObject({ code: 'wire/answer' })
  })
})
