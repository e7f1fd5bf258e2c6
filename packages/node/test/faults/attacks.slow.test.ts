/**
 * Attacks on real processes: peers that are slow, endless or compressed, against a coordinator that has honest work
 * to do meanwhile; and jobs whose modules do all that strangers' programs must not, run by real nodes. What is refused
 * by its form, its signature or its fence has its tests elsewhere (network/attacks, http/hostile, life/hostile).
 */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { decodeRow } from 'assay/wasm/row'
import type { Client } from 'assay/wire/client'
import { fetchResult, submitJob, waitForJob } from 'assay/wire/submit'
import type { WasmWork } from 'assay/wire/work'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { brokenInvariants } from '../network/support/invariants.ts'
import { raw } from '../network/support/raw-node.ts'
import { squares } from '../network/support/work.ts'
import { endlessPeer, headOf, residentBytes, slowPeer } from './sockets.ts'
import { type FaultWorld, openFaultWorld } from './world.ts'

const START_MS = 120_000
const PATIENT = { timeout: 90_000, interval: 200 }
const SLOW_PEERS = 300
/** What a flood may cost at most: some bodies that are read at once, and what the collector left. */
const MOST_GROWTH_BYTES = 2 ** 28

let world: FaultWorld
let client: Client
let token: string
beforeAll(async () => {
  world = await openFaultWorld()
  ;({ client, token } = await world.account('honest'))
}, START_MS)
afterAll(async () => world?.close(), START_MS)

async function doHonestWork(first: number): Promise<void> {
  const job = squares(16, { first })
  const { id } = await submitJob(client, job.draft, { input: job.input, content: job.content })
  expect(await waitForJob(client, id)).toMatchObject({ state: 'accepted' })
  expect(await fetchResult(client, id)).toEqual(job.expected)
}

const unasked = () =>
  [...world.coordinators, ...world.nodes, world.verifier].flatMap(({ service }) =>
    service.endings.map((ending) => ({ name: service.name, ...ending })),
  )

describe('peers that', () => {
  const memory = () => residentBytes(world.coordinators[0]?.service.pid() ?? 0)

  it('send headers and bodies byte by byte are ended, and keep nobody from anything', {
    timeout: START_MS,
  }, async () => {
    const authorization = `Bearer ${token}`
    const body = { 'content-type': 'application/json', 'content-length': '100000' }
    const beginnings = [
      'GET /v1/network HTTP/1.1\r\nhost: a\r\nx-filler: ',
      'GET /v1/',
      headOf({ method: 'POST', path: '/v1/jobs', headers: { authorization, ...body } }),
      `${headOf({ method: 'POST', path: '/v1/jobs', headers: { authorization, ...body } })}{"name":"`,
    ]
    const peers = Array.from({ length: SLOW_PEERS }, (_, i) =>
      slowPeer(world.url(), beginnings[i % beginnings.length] as string),
    )
    await expect.poll(() => peers.every(({ sentBytes }) => sentBytes() > 4), PATIENT).toBe(true)
    expect(peers.filter(({ socket }) => socket.destroyed)).toEqual([])
    await doHonestWork(1)
    const texts = await Promise.all(peers.map(({ closed }) => closed))
    const answered = texts.filter((text) => text !== '')
    expect(answered.filter((text) => !text.startsWith('HTTP/1.1 408'))).toEqual([])
    expect(answered.some((text) => text.includes('http/slow'))).toBe(true)
    await doHonestWork(2)
  })

  it('send without end are cut off', { timeout: START_MS }, async () => {
    const before = memory()
    const authorization = `Bearer ${token}`
    const json = { 'content-type': 'application/json' }
    const piece = Buffer.alloc(65_536, 'a')
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), piece, Buffer.from('\r\n')])
    const heads = [
      { headers: { ...json, authorization, 'transfer-encoding': 'chunked' }, piece: chunk, code: '411' },
      { headers: { ...json, 'transfer-encoding': 'chunked' }, piece: chunk, code: '411' },
      { headers: { ...json, authorization, 'content-length': '1000000000000' }, piece, code: '413' },
      { headers: { ...json, 'content-length': '1000000000000' }, piece, code: '413' },
    ]
    for (const method of ['POST', 'PATCH'] as const) {
      const path = method === 'POST' ? '/v1/jobs' : `/v1/blobs/${'b'.repeat(59)}?offset=0`
      for (const { headers, piece: part, code } of heads) {
        const peer = endlessPeer(world.url(), headOf({ method, path, headers }), part)
        const text = await peer.closed
        // A reset may overtake the answer.
        if (text !== '') expect(text).toMatch(new RegExp(`^HTTP/1.1 ${code}`))
        expect(peer.sentBytes()).toBeLessThan(2 ** 27)
      }
    }
    expect(memory() - before).toBeLessThan(MOST_GROWTH_BYTES)
    await doHonestWork(3)
  })

  it('send what would unpack to far more are refused unread', { timeout: START_MS }, async () => {
    const before = memory()
    const bomb = new Uint8Array(gzipSync(Buffer.alloc(2 ** 26)))
    const encodings = ['gzip', 'x-gzip', 'br', 'deflate', 'zstd', 'gzip, gzip', 'compress', 'GZIP']
    const paths = ['/v1/jobs', '/v1/results', '/v1/nodes', '/v1/verifications', '/v1/blobs', '/v1/nowhere']
    for (const encoding of encodings) {
      for (const path of paths) {
        const headers = { authorization: `Bearer ${token}`, 'content-encoding': encoding }
        const answer = await raw(world.url(), { method: 'POST', path, body: bomb, headers })
        expect(answer, `${path} as ${encoding}`).toMatchObject({ status: 415, code: 'http/encoding' })
      }
    }
    expect(memory() - before).toBeLessThan(MOST_GROWTH_BYTES)
    await doHonestWork(4)
  })
})

describe('a module that', () => {
  const misbehaving = new Uint8Array(readFileSync(new URL('../fixtures/misbehaving.wasm', import.meta.url)))
  const order = (what: string, number = 0) => {
    const record = new Uint8Array(8)
    record[0] = what.charCodeAt(0)
    new DataView(record.buffer).setUint32(1, number, true)
    return record
  }

  /** Its end, and that nobody was paid for what nobody could do. */
  async function run(module: Uint8Array, record: Uint8Array, work: Partial<WasmWork> = {}) {
    const before = (await client.balance()).balance
    const input = encodeRows([record])
    const { id } = await submitJob(
      client,
      {
        name: 'hostile',
        work: {
          kind: 'wasm',
          module: contentAddress(module, 'raw'),
          memoryPages: 1_024,
          timeLimitMs: 1_000,
          maxOutputBytes: 65_536,
          ...work,
        },
        rows: 1,
        segmentRows: 1,
        pricePerSegment: 5,
        budget: 50,
        maxAttempts: 3,
      },
      { input, content: [module] },
    )
    const job = await waitForJob(client, id)
    if (job.state === 'failed') {
      expect(job).toMatchObject({ spent: 0 })
      expect((await client.balance()).balance).toBe(before)
    }
    return job
  }

  it.each([
    ['loops', 'l', /work\/(?:time|wasm-time)|time/],
    ['recurses', 'r', /wasm\//],
    ['traps', 't', /wasm\//],
    ['floods with what it emits', 'f', /wasm\//],
    ['answers from beyond its memory', 'b', /wasm\//],
  ] as const)('%s fails its own job, and no node', { timeout: START_MS }, async (_, what, reason) => {
    const job = await run(misbehaving, order(what, what === 'f' ? 4_096 : 1_000))
    expect(job.state).toBe('failed')
    expect(job.reason).toMatch(reason)
    await doHonestWork(10)
  })

  it('asks for all memory gets what it declared, and no more', { timeout: START_MS }, async () => {
    const record = order('g')
    const job = await run(misbehaving, record)
    expect(job.state).toBe('accepted')
    const [row] = await fetchResult(client, job.id)
    expect(decodeRow(row as Uint8Array).output).toEqual(record)
    const refused = await run(misbehaving, record, { memoryPages: 16 })
    expect(refused.state).toBe('failed')
    expect(refused.reason).toContain('wasm/memory')
  })

  it('wants more than bytes is not run', { timeout: START_MS }, async () => {
    const refused = await run(importing('wasi_snapshot_preview1', 'fd_write'), order('e'))
    expect(refused.state).toBe('failed')
    expect(refused.reason).toContain('wasm/import')
    const noModule = await run(new Uint8Array(Buffer.from('#!/bin/sh\nrm -rf /\n')), order('e'))
    expect(noModule.state).toBe('failed')
    expect(noModule.reason).toContain('wasm/')
    await doHonestWork(11)
  })

  it('does any of this ends no process, and costs nobody a reputation', async () => {
    expect(unasked()).toEqual([])
    const { items } = await world.admin().listNodes({ query: { limit: 100 } })
    expect(items.filter(({ faults }) => faults > 0)).toEqual([])
    await expect.poll(() => brokenInvariants(world.db), PATIENT).toEqual({})
  })
})

/** A module with one import of a function without parameters, and nothing else. */
function importing(from: string, name: string): Uint8Array {
  const text = (value: string) => [value.length, ...Buffer.from(value)]
  const section = (id: number, content: readonly number[]) => [id, content.length, ...content]
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(2, [1, ...text(from), ...text(name), 0, 0]),
  ])
}
