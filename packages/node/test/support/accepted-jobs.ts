/**
 * Accepted jobs with everything that a receipt is made of: real keys, commitments, batches and draws, written straight
 * into the tables as the life of a job leaves them.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { concatBytes, fromHex, toHex, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { type Digest, sha256 } from 'assay/core/digest'
import { generateKey, type KeyPair, type NodeId, nodeId as nodeIdFor } from 'assay/core/keys'
import { type ExecutionFields, plainResultDigest } from 'assay/core/poe'
import { commitExecutions, MAX_BATCH_EXECUTIONS, signExecutionBatch } from 'assay/core/poe-batch'
import { commitSeed } from 'assay/core/seed'
import { auditFraction } from 'assay/method/redundancy/audit'
import { jobSeedContext } from 'assay/receipt/job/draws'
import { encodeRows } from 'assay/task/rows'
import { type JobSpec, jobSpec } from 'assay/wire/job'
import { segmentInputDigests, segmentRequestIds } from 'assay/wire/segment-digests'
import * as z from 'zod/mini'
import { ensureSubmitter } from '../../src/coordinator/accounts.ts'
import {
  createFactsCache,
  type JobFacts,
  leaseNonces,
  rememberJob,
  segmentInput,
} from '../../src/coordinator/life/job-facts.ts'
import { NEW_REPUTATION } from '../../src/coordinator/trust/reputation-state.ts'
import type { Tx } from '../../src/store/database.ts'

export interface TestNode {
  readonly key: KeyPair
  readonly nodeId: NodeId
  readonly operator: string
}

/** A registered node with a key of its own. */
export async function realNode(
  tx: Tx,
  operator: string,
  role: 'solver' | 'verifier' = 'solver',
): Promise<TestNode> {
  const key = await generateKey()
  const nodeId = nodeIdFor(key.publicKey)
  await ensureSubmitter(tx, { name: operator })
  const publicKey = { type: key.publicKey.type, bytes: toHex(key.publicKey.bytes) }
  const manifest = { role, publicKey, name: operator, operator, region: 'here', engine: 'assay/1' }
  await tx.query(
    `INSERT INTO node (id, role, public_key, manifest, operator, state, reputation)
     VALUES ($1, $2, $3, $4, $5, 'online', $6)`,
    [
      fromHex(nodeId),
      role,
      JSON.stringify(publicKey),
      JSON.stringify({
        ...manifest,
        hardware: { tier: 3, cores: 1, memoryBytes: 1, score: 1 },
        runtimes: ['wasm'],
      }),
      operator,
      JSON.stringify(NEW_REPUTATION),
    ],
  )
  return { key, nodeId, operator }
}

/** The rows of a segment, encoded. */
export function rowsOf(segment: number, rows: number, salt = ''): Uint8Array {
  return encodeRows(Array.from({ length: rows }, (_, row) => utf8(`row ${segment}/${row}${salt}`)))
}

export interface AcceptedJob {
  readonly submitter: string
  readonly segments: number
  readonly segmentRows?: number
  /** Of re-dispatch; whoever is drawn runs again on the next node. */
  readonly share?: number
  readonly nodes: readonly TestNode[]
  /** Segments whose first run is wrong and is outvoted. */
  readonly wrong?: ReadonlySet<number>
  /** Segments of which three runs differed before two agreed. */
  readonly scattered?: ReadonlySet<number>
}

interface Run {
  readonly id: string
  readonly segment: number
  readonly ordinal: number
  readonly node: TestNode
  readonly output: Uint8Array
  state: 'accepted' | 'rejected'
  isResult: boolean
  compared: boolean
  auditRate: number | null
  reason: string | null
  fields: ExecutionFields
  commitment: Digest
}

/** Its id. */
export async function acceptJob(tx: Tx, job: AcceptedJob): Promise<string> {
  const facts = await insertJob(tx, job)
  const { share = 0, nodes, segments, wrong, scattered } = job
  const runs: Run[] = []
  const run = (segment: number, ordinal: number, salt = '') => {
    const node = nodes[(segment + ordinal) % nodes.length] as TestNode
    const { from, to } = segmentInput(facts, segment)
    const made = makeRun(facts, { segment, ordinal, node, output: rowsOf(segment, to - from, salt) })
    runs.push(made)
    return made
  }
  for (let segment = 0; segment < segments; segment++) {
    let ordinal = 0
    if (scattered?.has(segment) === true) {
      for (const salt of ['x', 'y', 'z']) {
        const odd = run(segment, ordinal++, salt)
        Object.assign(odd, {
          state: 'rejected',
          reason: 'redundancy/scattered: all differ',
          auditRate: ordinal === 1 ? 1 : null,
        })
      }
    }
    const isWrong = wrong?.has(segment) === true
    const first = run(segment, ordinal++, isWrong ? 'wrong' : '')
    const isDrawn = auditFraction({ seed: facts.seed, commitment: first.commitment }) < share
    if (!isDrawn && !isWrong && ordinal === 1) {
      Object.assign(first, { compared: false, auditRate: share })
      continue
    }
    const compared = [first, run(segment, ordinal++), ...(isWrong ? [run(segment, ordinal++)] : [])]
    // Whoever was not drawn at the share was at the rate of its node.
    first.auditRate = isDrawn ? share : ordinal > compared.length ? null : 1
    const right = isWrong ? (compared[1] as Run) : first
    first.isResult = !isWrong
    right.isResult = true
    for (const other of compared) if (other !== right) other.isResult = false
    if (isWrong) Object.assign(first, { state: 'rejected', reason: 'redundancy/outvoted: two others agree' })
  }
  for (const made of runs) if (!made.compared && made.state === 'accepted') made.isResult = true
  await insertRuns(tx, facts, runs)
  return facts.id
}

function makeRun(job: JobFacts, given: Pick<Run, 'segment' | 'ordinal' | 'node' | 'output'>): Run {
  const id = randomUUID()
  const [requestId] = segmentRequestIds([id]) as [Digest]
  const [inputDigest] = segmentInputDigests([segmentInput(job, given.segment)]) as [Digest]
  const [nonce] = leaseNonces([{ job, dispatchId: id, fence: 1 }]) as [Digest]
  const resultDigest = plainResultDigest(sha256(given.output))
  const { nodeId } = given.node
  const fields = { requestId, taskDigest: job.taskDigest, inputDigest, resultDigest, nodeId, nonce }
  const [commitment] = commitExecutions([fields]) as [Digest]
  return {
    ...given,
    id,
    fields,
    commitment,
    state: 'accepted',
    isResult: false,
    compared: true,
    auditRate: null,
    reason: null,
  }
}

async function insertJob(tx: Tx, job: AcceptedJob): Promise<JobFacts> {
  const { submitter, segments, segmentRows = 2, share = 0 } = job
  await ensureSubmitter(tx, { name: submitter })
  const module = contentAddress(utf8('module'), 'raw')
  const spec: JobSpec = z.parse(jobSpec, {
    name: `job of ${submitter}`.slice(0, 128),
    work: { kind: 'wasm', module, memoryPages: 1, timeLimitMs: 100, maxOutputBytes: 100 },
    input: { inline: Buffer.from(encodeRows([])).toString('base64') },
    // The last segment is short.
    rows: segments * segmentRows - (segmentRows > 1 ? 1 : 0),
    segmentRows,
    validation: share === 0 ? {} : { redundancy: { share } },
    pricePerSegment: 0,
    budget: 0,
  })
  const now = new Date()
  const id = randomUUID()
  const secret = new Uint8Array(randomBytes(32))
  const row = {
    id,
    submitter,
    spec,
    segments,
    input_cid: contentAddress(encodeRows([]), 'raw'),
    input_inline: null,
    seed_secret: secret,
    seed_commitment: commitSeed(secret, jobSeedContext(id)),
    deadline_at: now,
    first_position: 0,
    is_canary: false,
  }
  await tx.query(
    `INSERT INTO job (id, submitter, state, spec, queue, input_cid, segments, segmented, accepted_segments, priority,
       first_position, seed_secret, seed_commitment, budget, price_per_segment, deadline_at, ended_at, receipt_state)
     VALUES ($1, $2, 'accepted', $3, 'wasm', $4, $5, $5, $5, 5, 0, $6, $7, 0, 0, $8, $8, 'pending')`,
    [
      row.id,
      submitter,
      JSON.stringify(spec),
      row.input_cid,
      segments,
      row.seed_secret,
      row.seed_commitment,
      now,
    ],
  )
  return rememberJob(createFactsCache(), row)
}

/** Each node signs its runs at once, as many as one signature may cover. */
async function insertRuns(tx: Tx, { id: jobId }: JobFacts, runs: readonly Run[]): Promise<void> {
  const batches = [...new Set(runs.map((run) => run.node))].flatMap((node) => {
    const all = runs.filter((run) => run.node === node)
    const count = Math.ceil(all.length / MAX_BATCH_EXECUTIONS)
    return Array.from({ length: count }, (_, i) => ({
      node,
      own: all.slice(i * MAX_BATCH_EXECUTIONS, (i + 1) * MAX_BATCH_EXECUTIONS),
    }))
  })
  for (const { node, own } of batches) {
    const batchId = randomUUID()
    const { signature } = await signExecutionBatch(
      own.map(({ fields }) => fields),
      node.key,
    )
    await tx.query('INSERT INTO result_batch (id, node_id, signature, commitments) VALUES ($1, $2, $3, $4)', [
      batchId,
      fromHex(node.nodeId),
      signature,
      concatBytes(...own.map(({ commitment }) => commitment)),
    ])
    await tx.query(
      `INSERT INTO dispatch (id, job_id, segment, ordinal, state, queue, priority, turn, deadline_at, lease_seconds, fence,
         node_id, operator, commitment, output_digest, output_inline, batch_id, batch_index, committed_at, audit_rate,
         compared, is_result, reason)
       SELECT id, $1, segment, ordinal, state, 'wasm', 5, 0, now(), 30, 1, $2, $3, commitment, digest, output, $4, place - 1,
         now(), rate, compared, is_result, reason
       FROM unnest($5::uuid[], $6::integer[], $7::smallint[], $8::text[], $9::bytea[], $10::bytea[], $11::bytea[],
         $12::float8[], $13::boolean[], $14::boolean[], $15::text[]) WITH ORDINALITY
         AS given (id, segment, ordinal, state, commitment, digest, output, rate, compared, is_result, reason, place)`,
      [
        jobId,
        fromHex(node.nodeId),
        node.operator,
        batchId,
        own.map(({ id }) => id),
        own.map(({ segment }) => segment),
        own.map(({ ordinal }) => ordinal),
        own.map(({ state }) => state),
        own.map(({ commitment }) => commitment),
        own.map(({ output }) => sha256(output)),
        own.map(({ output }) => output),
        own.map(({ auditRate }) => auditRate),
        own.map(({ compared }) => compared),
        own.map(({ isResult }) => isResult),
        own.map(({ reason }) => reason),
      ],
    )
  }
}
