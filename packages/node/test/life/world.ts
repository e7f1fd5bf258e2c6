/**
 * A small network without HTTP: the life of jobs over a real database, nodes with real keys that compute real rows, a
 * verifier that samples them, and a clock that the test moves.
 */
import { randomBytes } from 'node:crypto'
import { fromHex, toHex } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { parseWith } from 'assay/core/codec'
import { AssayError } from 'assay/core/errors'
import { ed25519KeyPair, type KeyPair, nodeId, verifySignature } from 'assay/core/keys'
import type { LeaseGroup, ResultsRequest } from 'assay/wire/dispatch'
import { type JobSpec, type JobSpecInput, jobSpec } from 'assay/wire/job'
import type { Manifest } from 'assay/wire/manifest'
import type { VerdictsRequest } from 'assay/wire/verification'
import { ensureSubmitter } from '../../src/coordinator/accounts.ts'
import { deposit, submitterAccount } from '../../src/coordinator/ledger.ts'
import { checkBooks } from '../../src/coordinator/ledger-read.ts'
import { createLife, type Life, type LifeOptions } from '../../src/coordinator/life/life.ts'
import { type NodeInfo, readNodes } from '../../src/coordinator/registry/nodes.ts'
import { DEFAULT_NODE_POLICY, type NodePolicy } from '../../src/coordinator/registry/policy.ts'
import { NEW_REPUTATION, type Standing } from '../../src/coordinator/trust/reputation-state.ts'
import type { Database } from '../../src/store/database.ts'
import { openTestNetwork } from '../support/network.ts'
import { answer, honestRow, verdictOf } from './answers.ts'

/** Nobody is audited but where a test says so. */
export const QUIET_POLICY: NodePolicy = {
  ...DEFAULT_NODE_POLICY,
  audit: { ...DEFAULT_NODE_POLICY.audit, floor: 0, probationRate: 0 },
  // One fault in a test is a fault, and no incident.
  cohort: { ...DEFAULT_NODE_POLICY.cohort, minOperators: 1000 },
}

const INPUT = Buffer.from('records of a job')
export const INPUT_CID = contentAddress(INPUT, 'raw')
export const MODULE_CID = contentAddress(Buffer.from('a module'), 'raw')
const START = Date.parse('2030-01-01T00:00:00Z')

const WASM = {
  kind: 'wasm',
  module: MODULE_CID,
  memoryPages: 1,
  timeLimitMs: 1000,
  maxOutputBytes: 20_000,
} as const

export interface WorldNode {
  readonly key: KeyPair
  readonly id: string
  readonly operator: string
}

export interface World {
  readonly db: Database
  readonly life: Life
  readonly url: string
  readonly blobs: Map<string, Uint8Array>
  readonly errors: unknown[]
  /** The clock. */
  now(): Date
  advance(ms: number): void
  /** Another replica over the same database. */
  replica(): Life
  addSubmitter(name: string, credits: number, quota?: Partial<QuotaRow>): Promise<void>
  addNode(operator: string, options?: NodeOptions): Promise<WorldNode>
  info(node: WorldNode): Promise<NodeInfo>
  /** The id of a job that was taken. */
  submit(submitter: string, spec?: Partial<JobSpecInput>): Promise<string>
  lease(node: WorldNode, max?: number): Promise<LeaseGroup[]>
  send(node: WorldNode, request: ResultsRequest): ReturnType<Life['takeResults']>
  /** Leases, computes, answers, and waits until what follows is decided. Segments that it did. */
  work(node: WorldNode, options?: WorkOptions): Promise<number>
  /** Checks what is drawn for the verifier. */
  verify(verifier: WorldNode, max?: number): Promise<number>
  sweep(afterMs?: number): Promise<void>
  /** Cancels whatever is open, and has no node left from before. */
  reset(): Promise<void>
  job(id: string): Promise<JobState>
  runs(jobId: string, segment?: number): Promise<RunState[]>
  balance(account: string): Promise<number>
  eventTypes(jobId: string): Promise<string[]>
  /** That the books are in order, and nothing is left in escrow for jobs that have ended. */
  assertBooks(): Promise<void>
  close(): Promise<void>
}

interface QuotaRow {
  readonly jobsPerMinute: number
  readonly queuedSegments: number
}

export interface NodeOptions {
  readonly role?: 'solver' | 'verifier'
  readonly standing?: Standing
  readonly slots?: number
  readonly runtimes?: Manifest['runtimes']
}

export interface WorkOptions {
  readonly max?: number
  readonly row?: typeof honestRow
  /** What is sent instead of an honest answer. */
  readonly alter?: (request: ResultsRequest) => ResultsRequest
}

export interface JobState {
  readonly state: string
  readonly accepted: number
  readonly segments: number
  readonly audits: number
  readonly faults: number
  readonly spent: number
  readonly reason: string | null
  readonly receipt: string
}

export interface RunState {
  readonly id: string
  readonly segment: number
  readonly ordinal: number
  readonly state: string
  readonly attempts: number
  readonly fence: number
  readonly operator: string | null
  readonly isResult: boolean
  readonly audited: boolean
  readonly forced: boolean
  readonly reason: string | null
  readonly reservedFor: string | null
}

export async function openWorld(options: Partial<Pick<LifeOptions, 'policy'>> = {}): Promise<World> {
  const { policy = QUIET_POLICY } = options
  const network = await openTestNetwork()
  const { db } = network
  const blobs = new Map<string, Uint8Array>([
    [INPUT_CID, INPUT],
    [MODULE_CID, Buffer.from('a module')],
  ])
  const errors: unknown[] = []
  let clock = START
  const now = () => new Date(clock)
  const lives: Life[] = []
  const replica = (over: Database = network.open()): Life => {
    const life = createLife({
      db: over,
      policy,
      verify: verifySignature,
      content: {
        missing: async (_, cids) => cids.filter((cid) => !blobs.has(cid)),
        foreign: async (_, cids) => cids.filter((cid) => !blobs.has(cid)),
        async *read(cid) {
          const bytes = blobs.get(cid)
          if (bytes === undefined) throw new AssayError('blob/missing', `no ${cid}`)
          // In pieces, as a store reads them.
          for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
        },
      },
      onError: (error, what) => errors.push(what, error),
    })
    lives.push(life)
    return life
  }
  const life = replica(db)
  const info = async ({ id }: WorldNode) => (await readNodes(db, [id])).get(id) as NodeInfo

  const world: World = {
    db,
    life,
    url: network.url,
    blobs,
    errors,
    now,
    advance: (ms) => {
      clock += ms
    },
    replica: () => replica(),
    info,
    async addSubmitter(name, credits, quota) {
      await db.tx(async (tx) => {
        const full = { jobsPerMinute: 1e6, queuedSegments: 1e8, blobBytes: 1e9, ...quota }
        await ensureSubmitter(tx, { name, quota: full })
        if (credits > 0) await deposit(tx, { account: submitterAccount(name), amount: credits })
      })
    },
    addNode: (operator, nodeOptions = {}) => addNode(db, operator, { ...nodeOptions, now: now() }),
    async submit(submitter, over = {}) {
      const { id } = await life.submitJob({ submitter, spec: specOf(over), now: now() })
      return id
    },
    lease: async (node, max = 64) => life.leaseSegments(await info(node), { max, now: now() }),
    send: async (node, request) => life.takeResults(await info(node), { request, now: now() }),
    async work(node, { max = 64, row = honestRow, alter = (request: ResultsRequest) => request } = {}) {
      const groups = await world.lease(node, max)
      if (groups.length === 0) return 0
      const request = await answer(node, groups, { row, blobs })
      const { outcomes } = await world.send(node, alter(request))
      await life.idle()
      return outcomes.length
    },
    async verify(verifier, max = 64) {
      const leases = await life.leaseVerifications(await info(verifier), { max, now: now() })
      if (leases.length === 0) return 0
      const verdicts: VerdictsRequest['verdicts'] = []
      for (const lease of leases) verdicts.push(await verdictOf(verifier, lease, { blobs, at: now() }))
      await life.takeVerdicts(await info(verifier), { request: { verdicts, retry: [] }, now: now() })
      await life.idle()
      return leases.length
    },
    async sweep(afterMs = 0) {
      clock += afterMs
      await life.sweep(now())
      await life.idle()
    },
    async reset() {
      const open = await db.query<{ id: string }>(
        `SELECT id FROM job WHERE state IN ('submitted', 'running')`,
      )
      for (const { id } of open.rows) await life.cancelJob({ jobId: id, submitter: null, now: now() })
      await db.query(`UPDATE node SET state = 'offline'`)
      await world.sweep()
    },
    async job(id) {
      const { rows } = await db.query<JobState>(
        `SELECT state, accepted_segments AS accepted, segments, audits, faults, spent, reason,
           receipt_state AS receipt FROM job WHERE id = $1`,
        [id],
      )
      return rows[0] as JobState
    },
    async runs(jobId, segment) {
      const { rows } = await db.query<RunState>(
        `SELECT id, segment, ordinal, state, attempts, fence, operator, is_result AS "isResult", audited, forced,
           reason, reserved_for AS "reservedFor"
         FROM dispatch WHERE job_id = $1 AND ($2::integer IS NULL OR segment = $2) ORDER BY segment, ordinal`,
        [jobId, segment ?? null],
      )
      return [...rows]
    },
    async balance(account) {
      const { rows } = await db.query<{ balance: number }>('SELECT balance FROM account WHERE id = $1', [
        account,
      ])
      return rows[0]?.balance ?? 0
    },
    async eventTypes(jobId) {
      const { rows } = await db.query<{ type: string }>(
        'SELECT type FROM event WHERE job_id = $1 ORDER BY id',
        [jobId],
      )
      return rows.map(({ type }) => type)
    },
    async assertBooks() {
      const { faults } = await checkBooks(db)
      if (faults.length > 0) throw new Error(`the books are not in order: ${JSON.stringify(faults)}`)
    },
    async close() {
      await Promise.all(lives.map((each) => each.close()))
      await network.close()
      if (errors.length > 0) throw new Error('something failed behind a call', { cause: errors })
    },
  }
  return world
}

export function specOf(over: Partial<JobSpecInput> = {}): JobSpec {
  return parseWith(
    jobSpec,
    {
      work: WASM,
      input: { cid: INPUT_CID },
      rows: 4,
      segmentRows: 1,
      pricePerSegment: 10,
      budget: 1000,
      ...over,
    },
    'job',
  )
}

async function addNode(
  db: Database,
  operator: string,
  options: NodeOptions & { readonly now: Date },
): Promise<WorldNode> {
  const { role = 'solver', standing = 'trusted', slots = 64, runtimes = ['wasm'], now } = options
  const key = ed25519KeyPair(new Uint8Array(randomBytes(32)))
  const id = nodeId(key.publicKey)
  const manifest = {
    role,
    publicKey: { type: 'ed25519', bytes: toHex(key.publicKey.bytes) },
    name: `node of ${operator}`,
    operator,
    region: 'here',
    engine: `engine of ${operator}`,
    hardware: { tier: 3, cores: 2, memoryBytes: 1e9, score: 1 },
    runtimes,
    workKinds: ['wasm', 'onnx', 'chat'],
    chatModels: [],
    slots,
  }
  await db.tx(async (tx) => {
    await ensureSubmitter(tx, { name: operator })
    await tx.query(
      `INSERT INTO node (id, role, public_key, manifest, operator, state, standing, reputation, last_seen_at)
       VALUES ($1, $2, $3, $4, $5, 'online', $6, $7, $8)`,
      [
        fromHex(id),
        role,
        JSON.stringify(manifest.publicKey),
        JSON.stringify(manifest),
        operator,
        standing,
        JSON.stringify({ ...NEW_REPUTATION, standing }),
        new Date(now.getTime() + 365 * 86_400_000),
      ],
    )
  })
  return { key, id, operator }
}

/** Empties the world, and gives it a fresh node of each operator. */
export async function freshNodes<const Names extends readonly string[]>(
  world: World,
  ...operators: Names
): Promise<{ [Index in keyof Names]: WorldNode }> {
  await world.reset()
  const nodes: WorldNode[] = []
  for (const operator of operators) nodes.push(await world.addNode(operator))
  await world.sweep()
  return nodes as { [Index in keyof Names]: WorldNode }
}

/** Names of leases, as requests about them have it. */
export function leasesOf(groups: readonly LeaseGroup[]) {
  return groups.flatMap(({ segments }) => segments.map(({ id, fence }) => ({ id, fence })))
}
