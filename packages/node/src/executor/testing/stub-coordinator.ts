/**
 * A coordinator for tests of the node alone: one job in memory, real HTTP, real checks of signatures and commitments,
 * and faults on demand. What it leaves out is what the node does not see.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fromBase64, fromHex, toHex } from 'assay/core/bytes'
import { sha256 } from 'assay/core/digest'
import { AssayError, type ErrorCode } from 'assay/core/errors'
import { type KeyPair, type NodeId, nodeId } from 'assay/core/keys'
import { commitExecution } from 'assay/core/poe'
import { verifyExecutionBatch } from 'assay/core/poe-batch'
import { decodeRows } from 'assay/task/rows'
import { type Operation, ROUTES } from 'assay/wire/api'
import type { LeaseGroup, ResultsRequest, SegmentLease } from 'assay/wire/dispatch'
import { parseRequestSignature, SIGNATURE_HEADER, verifyRequest } from 'assay/wire/request-signature'
import { plainExecutionFields, segmentRequestId, segmentTask, withoutRows } from 'assay/wire/segment'
import { PROBLEM_TYPE, problemOf } from '../../service/problem.ts'

export type StubJob = Omit<LeaseGroup, 'segments' | 'jobId' | 'deadlineAt'> & {
  readonly rows: number
  readonly segmentRows: number
}

interface StubSegment {
  readonly lease: SegmentLease
  state: 'queued' | 'leased' | 'done'
  fence: number
  rows: readonly Uint8Array[]
}

/** What a test may have it do instead of answering: a refusal, or no answer at all. */
export type StubFault = (operation: Operation) => ErrorCode | 'hang-up' | 'silence' | undefined

export interface StubCoordinator {
  readonly url: string
  /** How often each operation was called. */
  readonly calls: Map<Operation, number>
  readonly segments: readonly StubSegment[]
  readonly failures: { readonly code: string; readonly message: string; readonly retryElsewhere: boolean }[]
  readonly blobs: Map<string, Uint8Array>
  readonly heartbeats: unknown[]
  fault: StubFault
  /** Says at the next renewal that these are lost, and queues them again. */
  lose(ids: readonly string[]): void
  /** Milliseconds that its clock is ahead. */
  clockMs: number
  /** Forgets who is registered. */
  forgetNodes(): void
  rows(): Uint8Array[]
  isDone(): boolean
  /** Stops listening; `listen` begins again on the same port. */
  stop(): Promise<void>
  listen(): Promise<void>
}

const JOB_ID = '01890000-0000-7000-8000-000000000000'
/** Waits for work no longer than this, so that tests are not. */
const LONGEST_WAIT_MS = 100

export async function startStubCoordinator(job: StubJob, key: KeyPair): Promise<StubCoordinator> {
  const segments = segmentsOf(job)
  const known = new Set<NodeId>()
  const lost = new Set<string>()
  const nonces = new Set<string>()
  const { rows: _, segmentRows: __, ...shared } = job
  const group = { ...shared, jobId: JOB_ID, deadlineAt: '2040-01-01T00:00:00.000Z' }

  const handlers: { readonly [operation in Operation]?: (request: StubRequest) => unknown } = {
    registerNode: ({ node }) => {
      known.add(node)
      return nodeViewOf(node)
    },
    heartbeat: ({ body }) => {
      stub.heartbeats.push(body)
      return { drain: false, serverTime: new Date(Date.now() + stub.clockMs).toISOString() }
    },
    async lease({ body: { max } }) {
      let free = segments.filter(({ state }) => state === 'queued').slice(0, max as number)
      if (free.length === 0) await new Promise((resolve) => setTimeout(resolve, LONGEST_WAIT_MS))
      free = segments.filter(({ state }) => state === 'queued').slice(0, max as number)
      for (const segment of free) {
        segment.state = 'leased'
        segment.fence++
      }
      const leases = free.map(({ lease, fence }) => ({ ...lease, fence }))
      return { drain: false, groups: leases.length === 0 ? [] : [{ ...group, segments: leases }] }
    },
    renewLeases: ({ body: { leases } }) => {
      const held = (leases as { id: string; fence: number }[]).filter(({ id, fence }) => {
        const segment = segments.find(({ lease }) => lease.id === id)
        return lost.delete(id) || segment?.fence !== fence || segment.state !== 'leased'
      })
      return { lost: held.map(({ id }) => id) }
    },
    results: async ({ body, node }) => ({ outcomes: await takeResults(body as ResultsRequest, node) }),
    failures: ({ body: { failures } }) => {
      for (const failure of failures as (StubCoordinator['failures'][number] & {
        id: string
        fence: number
      })[]) {
        stub.failures.push(failure)
        const segment = segments.find(({ lease }) => lease.id === failure.id)
        if (segment?.fence === failure.fence && segment.state === 'leased') segment.state = 'queued'
      }
      return {}
    },
    beginNodeBlob: ({ body: { cid, sizeBytes } }) => blobStatus(cid as string, sizeBytes as number),
    appendNodeBlob: ({ params: { cid = '' }, query, bytes }) => {
      const before = stub.blobs.get(cid) ?? new Uint8Array()
      if (Number(query.get('offset')) !== before.length)
        throw new AssayError('wire/conflict', 'another offset')
      const all = Buffer.concat([before, bytes])
      stub.blobs.set(cid, new Uint8Array(all))
      return blobStatus(cid, sizes.get(cid) ?? all.length)
    },
    readNodeBlob: ({ params: { cid = '' }, range }) => {
      const blob = stub.blobs.get(cid)
      if (blob === undefined) throw new AssayError('wire/not-found', `no ${cid}`)
      return blob.slice(range)
    },
  }
  const sizes = new Map<string, number>()
  const blobStatus = (cid: string, sizeBytes: number) => {
    sizes.set(cid, sizeBytes)
    const storedBytes = stub.blobs.get(cid)?.length ?? 0
    return { cid, sizeBytes, storedBytes, complete: storedBytes === sizeBytes }
  }
  const takeResults = async ({ signature, results }: ResultsRequest, node: NodeId) => {
    const task = segmentTask(job.work, withoutRows, { guessProbability: job.guessProbability })
    const given = results.map((result) => {
      const segment = segments.find(({ lease }) => lease.id === result.id) as StubSegment
      const bytes =
        'inline' in result.output
          ? fromBase64(result.output.inline)
          : (stub.blobs.get(result.output.cid) as Uint8Array)
      const { id, from, to, nonce } = segment.lease
      const fields = plainExecutionFields({
        task,
        segment: { input: job.inputCid, from, to },
        job: { requestId: segmentRequestId(id), nonce: fromHex(nonce) },
        nodeId: node,
        outputDigest: sha256(bytes),
      })
      return { result, segment, bytes, fields }
    })
    if (job.falsePositiveRate === null) {
      const fields = given.map((each) => each.fields)
      const verdict = await verifyExecutionBatch({
        fields,
        publicKey: key.publicKey,
        signature: fromBase64(signature),
      })
      if (!verdict.ok) throw new AssayError('wire/malformed', `batch: ${verdict.message}`)
    }
    return given.map(({ result, segment, bytes, fields }) => {
      const { id, fence, commitment } = result
      if (segment.state === 'done' && segment.fence === fence)
        return { id, state: 'accepted', code: null, message: null }
      if (segment.fence !== fence || segment.state !== 'leased') {
        return { id, state: 'refused', code: 'wire/stale', message: 'another fence' }
      }
      if (job.falsePositiveRate === null && commitment !== toHex(commitExecution(fields))) {
        segment.state = 'queued'
        return { id, state: 'refused', code: 'poe/mismatch', message: 'another commitment' }
      }
      segment.rows = decodeRows(bytes)
      segment.state = 'done'
      return { id, state: 'accepted', code: null, message: null }
    })
  }
  const server = createServer((request, response) => {
    void serve(request, response).catch(() => response.destroy())
  })
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const bytes = await bodyOf(request)
    const { operation, params } = matchRoute(request)
    stub.calls.set(operation, (stub.calls.get(operation) ?? 0) + 1)
    response.setHeader('date', new Date(Date.now() + stub.clockMs).toUTCString())
    const fault = stub.fault(operation)
    if (fault === 'silence') return
    if (fault === 'hang-up') return void response.destroy()
    try {
      if (fault !== undefined) throw new AssayError(fault, 'as the test wants it')
      const parts = { method: request.method ?? '', path: request.url ?? '', body: bytes }
      const node = await authenticate(request.headers[SIGNATURE_HEADER], parts)
      if (operation !== 'registerNode' && !known.has(node))
        throw new AssayError('wire/unauthenticated', 'who are you?')
      const isBytes = request.headers['content-type'] === 'application/octet-stream'
      const answer = await handlers[operation]?.({
        node,
        params,
        query: new URL(request.url ?? '', 'http://x').searchParams,
        bytes,
        body: isBytes || bytes.length === 0 ? {} : (JSON.parse(Buffer.from(bytes).toString()) as never),
        range: Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0),
      })
      if (!(answer instanceof Uint8Array)) {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
        return
      }
      const isPart = request.headers.range !== undefined
      const size = stub.blobs.get(params.cid ?? '')?.length ?? 0
      response.writeHead(isPart ? 206 : 200, {
        'content-type': 'application/octet-stream',
        'content-length': answer.length,
        ...(isPart ? { 'content-range': `bytes ${size - answer.length}-${size - 1}/${size}` } : {}),
      })
      response.end(answer)
    } catch (error) {
      const { status, body, headers } = problemOf(error, { requestId: 'test' })
      response.writeHead(status, { ...headers, 'content-type': PROBLEM_TYPE }).end(JSON.stringify(body))
    }
  }
  const authenticate = async (
    header: unknown,
    parts: Parameters<typeof verifyRequest>[0],
  ): Promise<NodeId> => {
    const claim = parseRequestSignature(String(header))
    if (!claim.ok) throw new AssayError(claim.code, claim.message)
    const now = Date.now() + stub.clockMs
    const verdict = await verifyRequest(parts, { claim: claim.value, publicKey: key.publicKey, now })
    if (!verdict.ok || nonces.has(claim.value.nonce))
      throw new AssayError('wire/signature', 'not yours, or not now')
    nonces.add(claim.value.nonce)
    return nodeId(key.publicKey)
  }
  let port = 0
  const stub: StubCoordinator = {
    get url() {
      return `http://127.0.0.1:${port}`
    },
    calls: new Map(),
    segments,
    failures: [],
    blobs: new Map(),
    heartbeats: [],
    fault: () => undefined,
    clockMs: 0,
    lose(ids) {
      for (const id of ids) {
        lost.add(id)
        const segment = segments.find(({ lease }) => lease.id === id)
        if (segment?.state === 'leased') Object.assign(segment, { state: 'queued', fence: segment.fence + 1 })
      }
    },
    forgetNodes: () => known.clear(),
    rows: () => segments.flatMap(({ rows }) => rows),
    isDone: () => segments.every(({ state }) => state === 'done'),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
    listen: () =>
      new Promise((resolve) => {
        server.listen(port, '127.0.0.1', () => {
          port = (server.address() as AddressInfo).port
          resolve()
        })
      }),
  }
  await stub.listen()
  return stub
}

interface StubRequest {
  readonly node: NodeId
  readonly params: { readonly [name: string]: string }
  readonly query: URLSearchParams
  readonly bytes: Uint8Array
  readonly body: { readonly [name: string]: unknown }
  readonly range: number
}

function segmentsOf({ rows, segmentRows }: StubJob): StubSegment[] {
  return Array.from({ length: Math.ceil(rows / segmentRows) }, (_, i) => {
    const from = i * segmentRows
    const to = Math.min(rows, from + segmentRows)
    const id = `01890000-0000-7000-8000-${i.toString(16).padStart(12, '0')}`
    const nonce = nonceOf(id)
    return { lease: { id, fence: 0, from, to, nonce }, state: 'queued' as const, fence: 0, rows: [] }
  })
}

function nonceOf(text: string): string {
  return toHex(sha256(new TextEncoder().encode(text)))
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return new Uint8Array(Buffer.concat(parts))
}

function matchRoute(request: IncomingMessage): { operation: Operation; params: { [name: string]: string } } {
  const path = (request.url ?? '').split('?')[0] ?? ''
  for (const [operation, route] of Object.entries(ROUTES)) {
    const pattern = new RegExp(`^${route.path.replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`)
    const match = pattern.exec(path)
    if (route.method === request.method && match !== null) {
      return { operation: operation as Operation, params: { ...match.groups } }
    }
  }
  throw new Error(`no route for ${request.method} ${path}`)
}

function nodeViewOf(id: NodeId) {
  const now = new Date().toISOString()
  return {
    id,
    manifest: {
      role: 'solver',
      publicKey: { type: 'ed25519', bytes: '00'.repeat(32) },
      name: 'node',
      operator: 'operator',
      region: 'here',
      engine: 'test',
      hardware: { tier: 1, cores: 1, memoryBytes: 1, score: 1 },
      runtimes: [],
      workKinds: [],
      chatModels: [],
      slots: 1,
    },
    state: 'online',
    standing: 'probation',
    auditRate: 1,
    stake: 0,
    balance: 0,
    held: 0,
    leases: 0,
    accepted: 0,
    faults: 0,
    registeredAt: now,
    lastSeenAt: now,
    decisions: [],
  }
}
