import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { QUICKNET } from './beacon.ts'
import { DRAND_RELAYS, fetchBeaconRound, MAX_ANSWER_BYTES } from './beacon-fetch.ts'
import { toHex } from './bytes.ts'

// A public round of the quicknet chain, as its relays serve it under /public/1000.
const ANSWER = {
  round: 1000,
  randomness: 'fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd',
  signature:
    'b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39',
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

const servers: Server[] = []

async function relay(handler: Handler): Promise<string> {
  const server = createServer(handler)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const answering = (body: unknown) => relay((_, response) => response.end(JSON.stringify(body)))

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

const unavailable = { code: 'seed/beacon-unavailable' }
const from = (...relays: string[]) => ({ relays, fetch, timeoutMs: 10_000 })

describe('fetchBeaconRound', () => {
  it('fetches and verifies, at the address of the chain', async () => {
    const paths: (string | undefined)[] = []
    const url = await relay((request, response) => {
      paths.push(request.url)
      response.end(JSON.stringify(ANSWER))
    })
    for (const round of [1000, 'latest'] as const) {
      // A slash at the end of a relay's address does not matter.
      const got = await fetchBeaconRound(QUICKNET, round, from(`${url}/`))
      expect(got.round).toBe(1000)
      expect(toHex(got.signature)).toBe(ANSWER.signature)
      expect(toHex(got.randomness)).toBe(ANSWER.randomness)
    }
    expect(paths).toEqual([`/${QUICKNET.hash}/public/1000`, `/${QUICKNET.hash}/public/latest`])
  })

  it('needs no more than round and signature, and passes over fields it does not know', async () => {
    const { round, signature } = ANSWER
    const bare = await fetchBeaconRound(QUICKNET, 1000, from(await answering({ round, signature })))
    expect(toHex(bare.randomness)).toBe(ANSWER.randomness)
    const more = await answering({ ...ANSWER, previous_signature: '', since: 1 })
    expect((await fetchBeaconRound(QUICKNET, 1000, from(more))).round).toBe(1000)
  })

  it('goes on to the next relay, and says what was wrong with each', async () => {
    const good = await answering(ANSWER)
    const broken = await relay((_, response) => response.writeHead(500).end('no'))
    const lying = await answering({ ...ANSWER, signature: ANSWER.signature.replace(/9$/, '8') })
    expect((await fetchBeaconRound(QUICKNET, 1000, from(broken, lying, good))).round).toBe(1000)
    await expect(fetchBeaconRound(QUICKNET, 1000, from(broken, lying))).rejects.toMatchObject({
      ...unavailable,
      detail: {
        round: 1000,
        relays: {
          [broken]: expect.stringContaining('500'),
          [lying]: expect.stringContaining('not that of round 1000'),
        },
      },
    })
  })

  const garbage: [what: string, handler: Handler][] = [
    ['nothing', (_, response) => response.end()],
    ['a page', (_, response) => response.end('<html></html>')],
    ['bytes that are not UTF-8', (_, response) => response.end(Buffer.from([0x22, 0xff, 0x22]))],
    ['null', (_, response) => response.end('null')],
    ['a list', (_, response) => response.end(JSON.stringify([ANSWER]))],
    ['a round in text', (_, response) => response.end(JSON.stringify({ ...ANSWER, round: '1000' }))],
    ['another round', (_, response) => response.end(JSON.stringify({ ...ANSWER, round: 1001 }))],
    ['no signature', (_, response) => response.end(JSON.stringify({ round: 1000 }))],
    ['a short signature', (_, response) => response.end(JSON.stringify({ ...ANSWER, signature: 'ab' }))],
    [
      'other randomness',
      (_, response) => response.end(JSON.stringify({ ...ANSWER, randomness: '00'.repeat(32) })),
    ],
    ['an error', (_, response) => response.writeHead(404).end(JSON.stringify(ANSWER))],
    [
      'half an answer',
      (_, response) => {
        response.writeHead(200, { 'content-length': 500 })
        response.write(JSON.stringify(ANSWER))
        setTimeout(() => response.destroy(), 20)
      },
    ],
    ['a closed connection', (request) => request.socket.destroy()],
  ]
  it.each(garbage)('refuses a relay that sends %s', async (_, handler) => {
    await expect(fetchBeaconRound(QUICKNET, 1000, from(await relay(handler)))).rejects.toMatchObject(
      unavailable,
    )
  })

  it('follows no redirect', async () => {
    const good = await answering(ANSWER)
    const bad = await relay((request, response) =>
      response.writeHead(302, { location: good + request.url }).end(),
    )
    await expect(fetchBeaconRound(QUICKNET, 1000, from(bad))).rejects.toMatchObject(unavailable)
  })

  it('stops reading an answer without end, and lets go of the connection', async () => {
    let sent = 0
    let onClosed = () => {}
    const closed = new Promise<void>((resolve) => {
      onClosed = resolve
    })
    const flood = await relay((request, response) => {
      const send = setInterval(() => {
        sent += 1000
        response.write(' '.repeat(1000))
      }, 1)
      request.socket.on('close', () => {
        clearInterval(send)
        onClosed()
      })
    })
    const refusal = {
      ...unavailable,
      message: expect.stringContaining(`more than ${MAX_ANSWER_BYTES} bytes`),
    }
    await expect(fetchBeaconRound(QUICKNET, 1000, from(flood))).rejects.toMatchObject(refusal)
    await closed
    expect(sent).toBeGreaterThan(MAX_ANSWER_BYTES)
  })

  it.each<[what: string, handler: Handler]>([
    ['says nothing', () => {}],
    ['stops after the headers', (_, response) => response.flushHeaders()],
    ['stops in the middle', (_, response) => void response.write('{"round":')],
  ])('gives up on a relay that %s', async (_, handler) => {
    const hanging = await relay(handler)
    const options = { ...from(hanging), timeoutMs: 100 }
    await expect(fetchBeaconRound(QUICKNET, 1000, options)).rejects.toMatchObject({
      ...unavailable,
      detail: { relays: { [hanging]: 'no answer within 100 ms' } },
    })
  })

  it('goes on after a relay that hangs', async () => {
    const relays = [await relay(() => {}), await answering(ANSWER)]
    expect((await fetchBeaconRound(QUICKNET, 1000, { relays, fetch, timeoutMs: 1000 })).round).toBe(1000)
  })

  it('stops when told to, and asks no other relay', async () => {
    const controller = new AbortController()
    let others = 0
    const hanging = await relay(() => controller.abort(new Error('enough')))
    const other = await relay(() => others++)
    const options = { ...from(hanging, other), signal: controller.signal }
    await expect(fetchBeaconRound(QUICKNET, 1000, options)).rejects.toThrow('enough')
    await expect(fetchBeaconRound(QUICKNET, 1000, options)).rejects.toThrow('enough')
    expect(others).toBe(0)
  })

  it('says so when nothing listens, or no relay is named', async () => {
    const gone = await answering(ANSWER)
    const server = servers.pop()!
    await new Promise((resolve) => server.close(resolve))
    await expect(fetchBeaconRound(QUICKNET, 1000, from(gone))).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('ECONNREFUSED'),
    })
    await expect(fetchBeaconRound(QUICKNET, 1000, from())).rejects.toMatchObject(unavailable)
    await expect(fetchBeaconRound(QUICKNET, 1000, from('not an address'))).rejects.toMatchObject(unavailable)
  })

  it('refuses rounds that cannot be', async () => {
    for (const round of [0, -1, 1.5, Number.NaN]) {
      await expect(fetchBeaconRound(QUICKNET, round, from())).rejects.toMatchObject({
        code: 'seed/malformed',
      })
    }
  })

  it('names relays that speak TLS', () => {
    for (const address of DRAND_RELAYS) expect(new URL(address).protocol).toBe('https:')
  })
})
