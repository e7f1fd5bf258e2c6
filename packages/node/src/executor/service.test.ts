import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { ed25519KeyPair } from 'assay/core/keys'
import { encodeRows } from 'assay/task/rows'
import { afterEach, describe, expect, it } from 'vitest'
import { readConfig } from '../service/config.ts'
import { SILENT_LOG } from '../service/log.ts'
import { createMetrics } from '../service/metrics.ts'
import { type ChatFault, type ChatServer, chatAnswer, startChatServer } from '../work/testing/chat-server.ts'
import { NODE_OPTIONS } from './config.ts'
import { type NodeParts, type RunningNode, startNode } from './service.ts'
import { type StubCoordinator, type StubJob, startStubCoordinator } from './testing/stub-coordinator.ts'

const KEY = ed25519KeyPair(new Uint8Array(32).fill(5))
const HARDWARE = { tier: 1, cores: 2, memoryBytes: 1, score: 1 }
const LONG = { timeout: 20_000 }

const opened: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.stop()
})

function chatJob(rows: number, given: Partial<StubJob> = {}): StubJob & { readonly expected: Uint8Array[] } {
  const prompts = Array.from({ length: rows }, (_, i) => `words of prompt ${i}`)
  const input = encodeRows(prompts.map((prompt) => utf8(prompt)))
  return {
    work: { kind: 'chat', model: 'tiny', temperature: 0, seed: 1, maxTokens: 8, compare: 'text' },
    input: { inline: toBase64(input) },
    inputCid: contentAddress(input, 'raw'),
    falsePositiveRate: null,
    guessProbability: 0,
    leaseSeconds: 30,
    rows,
    segmentRows: 2,
    ...given,
    expected: prompts.map((prompt) => utf8(chatAnswer('tiny', prompt, 1))),
  }
}

/** The job with its input behind its address. */
function withBlob(job: ReturnType<typeof chatJob>) {
  const bytes = Buffer.from((job.input as { readonly inline: string }).inline, 'base64')
  return {
    job: { ...job, input: { cid: job.inputCid } },
    before: (stub: StubCoordinator) => stub.blobs.set(job.inputCid, new Uint8Array(bytes)),
  }
}

interface Setting {
  readonly job?: StubJob
  readonly chatFault?: ChatFault
  readonly config?: { readonly [name: string]: unknown }
  readonly parts?: Partial<NodeParts>
  readonly before?: (coordinator: StubCoordinator) => unknown
}

async function setUp({ job = chatJob(20), chatFault, ...given }: Setting = {}) {
  const chat: ChatServer = await startChatServer(chatFault)
  opened.push({ stop: () => chat.close() })
  const coordinator = await startStubCoordinator(job, KEY)
  opened.push(coordinator)
  given.before?.(coordinator)
  const start = async (): Promise<RunningNode> => {
    const { values } = readConfig(NODE_OPTIONS, {
      flags: {
        coordinator: [coordinator.url],
        enrolment: 'let me in',
        operator: 'tester',
        slots: 4,
        cacheFolder: mkdtempSync(join(tmpdir(), 'assay-node-')),
        chatUrl: `${chat.url}/v1`,
        chatModels: ['tiny'],
        drainTimeoutMs: 50,
        ...given.config,
      },
    })
    const node = await startNode(values, { key: KEY, log: SILENT_LOG, hardware: HARDWARE, ...given.parts })
    opened.push(node)
    return node
  }
  return { chat, coordinator, start }
}

async function done(coordinator: StubCoordinator) {
  await expect.poll(() => coordinator.isDone(), LONG).toBe(true)
}

describe('a node', () => {
  it('registers, runs a job of many segments, and returns every row', async () => {
    const job = chatJob(41)
    const metrics = createMetrics()
    const { coordinator, start } = await setUp({ job, parts: { metrics } })
    await start()
    await done(coordinator)
    expect(coordinator.rows()).toEqual(job.expected)
    expect(coordinator.failures).toEqual([])
    expect(coordinator.heartbeats[0]).toMatchObject({ cacheBytes: 0 })
    await expect
      .poll(() => metrics.render())
      .toContain('assay_node_segments_total{outcome="accepted",kind="chat"} 21')
  })

  it('proves its rows where that is asked for', async () => {
    const job = chatJob(6, { falsePositiveRate: 0.01 })
    const { coordinator, start } = await setUp({ job })
    await start()
    await done(coordinator)
    expect(coordinator.rows()).toEqual(job.expected)
  })

  it('uploads outputs that are too large for a message', async () => {
    const job = withBlob(chatJob(1400, { segmentRows: 700 }))
    const { coordinator, start } = await setUp({ ...job, config: { chatParallel: 64 } })
    await start()
    await done(coordinator)
    expect(coordinator.rows()).toEqual(job.job.expected)
    expect(coordinator.blobs.size).toBe(3)
  })

  it('reads an input by its address, in pieces that break off', async () => {
    const job = withBlob(chatJob(10))
    const { coordinator, start } = await setUp(job)
    let breaks = 2
    coordinator.fault = (operation) => (operation === 'readNodeBlob' && breaks-- > 0 ? 'hang-up' : undefined)
    await start()
    await done(coordinator)
    expect(coordinator.rows()).toEqual(job.job.expected)
  })

  it('is refused with the reason of the coordinator, and without one waits for it', async () => {
    const { coordinator, start } = await setUp({
      before: (stub) => {
        stub.fault = (operation) => (operation === 'registerNode' ? 'wire/forbidden' : undefined)
      },
    })
    await expect(start()).rejects.toMatchObject({ code: 'wire/forbidden' })
    await coordinator.stop()
    coordinator.fault = () => undefined
    const waiting = start()
    await coordinator.listen()
    await waiting
    await done(coordinator)
  })

  it('goes on with a clock that is wrong, and after the coordinator forgot it', async () => {
    const { coordinator, start } = await setUp({ before: (stub) => (stub.clockMs = 3_600_000) })
    await start()
    coordinator.forgetNodes()
    await done(coordinator)
    expect(coordinator.calls.get('registerNode')).toBeGreaterThanOrEqual(2)
  })

  it('puts its clock right at a coordinator that could not be reached for a while', async () => {
    let away = 4
    const { coordinator, start } = await setUp({
      before: (stub) => {
        stub.clockMs = 3_600_000
        stub.fault = (operation) => (operation === 'registerNode' && away-- > 0 ? 'hang-up' : undefined)
      },
    })
    await start()
    await done(coordinator)
    expect(coordinator.calls.get('registerNode')).toBe(6)
  })
})

describe('the status port', () => {
  it('tells health, readiness and metrics, until the node stops', async () => {
    const { coordinator, start } = await setUp({ job: chatJob(4), config: { statusPort: 0 } })
    const node = await start()
    await done(coordinator)
    const get = async (path: string) => fetch(`${node.statusUrl}${path}`)
    expect((await get('/healthz')).status).toBe(200)
    expect(await (await get('/readyz')).json()).toEqual({ status: 'ready' })
    const text = await (await get('/metrics')).text()
    expect(text).toContain('assay_node_rows_total{kind="chat"} 4')
    expect(text).toContain('assay_node_slots 4')
    await node.drain()
    await expect(get('/healthz')).rejects.toThrow()
  })
})

describe('a node whose coordinator fails', () => {
  it('keeps its results until they are answered', async () => {
    const { coordinator, start } = await setUp({ job: chatJob(8) })
    let faults = 5
    const kinds = ['hang-up', 'wire/unavailable', 'http/internal', 'hang-up', 'wire/quota'] as const
    coordinator.fault = (operation) => (operation === 'results' && faults > 0 ? kinds[--faults] : undefined)
    await start()
    await done(coordinator)
    expect(coordinator.failures).toEqual([])
  })

  it('loses nothing when it is restarted', async () => {
    const job = chatJob(30)
    const { coordinator, start } = await setUp({ job })
    await start()
    await expect.poll(() => coordinator.segments.some(({ state }) => state === 'done'), LONG).toBe(true)
    await coordinator.stop()
    await coordinator.listen()
    await done(coordinator)
    expect(coordinator.rows()).toEqual(job.expected)
  })

  it('goes to another replica', async () => {
    const { coordinator, start } = await setUp()
    const { coordinator: other } = await setUp({ job: chatJob(2) })
    await other.stop()
    const { start: startBoth } = await setUp({ config: { coordinator: [other.url, coordinator.url] } })
    void start
    await startBoth()
    await done(coordinator)
  })

  it('finds the one result that is refused, and reports it as failed', async () => {
    const job = chatJob(8)
    const { coordinator, start } = await setUp({
      job,
      parts: {
        hooks: {
          result: (result) => (result.id.endsWith('2') ? { ...result, commitment: 'ff'.repeat(32) } : result),
        },
      },
    })
    await start()
    await expect.poll(() => coordinator.segments.filter(({ state }) => state === 'done').length, LONG).toBe(3)
    expect(coordinator.segments[2]?.state).not.toBe('done')
  })
})

describe('a node and its leases', () => {
  it('renews what takes long, and drops at once what it lost', async () => {
    let isSilent = true
    const { coordinator, chat, start } = await setUp({
      job: chatJob(4, { leaseSeconds: 1 }),
      chatFault: () => (isSilent ? 'silence' : undefined),
    })
    await start()
    await expect.poll(() => chat.questions.length, LONG).toBe(4)
    await expect.poll(() => coordinator.calls.get('renewLeases') ?? 0, LONG).toBeGreaterThan(1)
    expect(coordinator.segments.map(({ fence }) => fence)).toEqual([1, 1])
    isSilent = false
    coordinator.lose(coordinator.segments.map(({ lease }) => lease.id))
    await done(coordinator)
    expect(coordinator.segments.map(({ fence }) => fence)).toEqual([3, 3])
    expect(coordinator.failures).toEqual([])
  })

  it('reports what it cannot do, and says whether another could', async () => {
    const { coordinator, start } = await setUp({
      job: chatJob(2),
      chatFault: () => ({ status: 400, text: 'no such model' }),
      config: { slots: 1 },
    })
    await start()
    await expect.poll(() => coordinator.failures.length, LONG).toBeGreaterThan(0)
    expect(coordinator.failures[0]).toMatchObject({ code: 'work/endpoint', retryElsewhere: true })
    expect(coordinator.failures[0]?.message).toContain('no such model')
  })

  it('that holds more rows than the input has, refuses them one by one', async () => {
    const job = { ...chatJob(3), rows: 6 }
    const { coordinator, start } = await setUp({ job, config: { slots: 3 } })
    await start()
    await expect.poll(() => coordinator.failures.length, LONG).toBeGreaterThan(0)
    expect(coordinator.failures[0]).toMatchObject({ code: 'work/rows', retryElsewhere: false })
    await expect.poll(() => coordinator.segments[0]?.state, LONG).toBe('done')
  })
})

describe('a node that is told to stop', () => {
  it('finishes what it has, and takes nothing more', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => (release = resolve))
    const { coordinator, start } = await setUp({
      config: { drainTimeoutMs: 20_000 },
      parts: {
        hooks: {
          rows: async ({ compute, range }) => {
            await gate
            return compute(range)
          },
        },
      },
    })
    const node = await start()
    await expect
      .poll(() => coordinator.segments.filter(({ state }) => state === 'leased').length, LONG)
      .toBe(8)
    const drained = node.drain()
    release()
    await drained
    expect(coordinator.segments.filter(({ state }) => state === 'done')).toHaveLength(8)
    expect(coordinator.segments.filter(({ state }) => state === 'leased')).toHaveLength(0)
    const farewells = coordinator.heartbeats.slice(1)
    expect(farewells).toMatchObject([{ leaving: true }, { running: 0, freeSlots: 0, leaving: true }])
  })

  it('hands back what takes too long', async () => {
    const { coordinator, chat, start } = await setUp({ chatFault: () => 'silence' })
    const node = await start()
    await expect.poll(() => chat.questions.length, LONG).toBeGreaterThan(0)
    await node.drain()
    expect(coordinator.failures).toHaveLength(8)
    for (const failure of coordinator.failures) {
      expect(failure).toMatchObject({ code: 'node/stopping', retryElsewhere: true })
    }
    expect(coordinator.segments.every(({ state }) => state === 'queued')).toBe(true)
  })

  it('stops at once when it is told so again, and when the coordinator is away', async () => {
    const { coordinator, chat, start } = await setUp({
      chatFault: () => 'silence',
      config: { drainTimeoutMs: 86_400_000 },
    })
    const node = await start()
    await expect.poll(() => chat.questions.length, LONG).toBeGreaterThan(0)
    await coordinator.stop()
    const now = new AbortController()
    const drained = node.drain(now.signal)
    now.abort()
    await drained
  })
})
