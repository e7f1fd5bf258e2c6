/**
 * For tests: a job of a small network, run and recorded as a coordinator does: nodes of different operators, results
 * signed in batches, audits and samples drawn from the job's seed, and one node that gave a wrong result and lost.
 */
import { fromBase64, fromHex, toHex, utf8 } from '../../../core/bytes.ts'
import { contentAddress } from '../../../core/cid.ts'
import { type Digest, sha256 } from '../../../core/digest.ts'
import { ed25519KeyPair, type KeyPair, nodeId } from '../../../core/keys.ts'
import { commitExecution, type ExecutionFields, plainResultDigest } from '../../../core/poe.ts'
import { batchedExecutionToJson, executionFromBatch, signExecutionBatch } from '../../../core/poe-batch.ts'
import { commitSeed, type SeedSource } from '../../../core/seed.ts'
import { isAudited } from '../../../method/redundancy/audit.ts'
import { outputDigest } from '../../../method/sampling/commitment.ts'
import { proofDigest, proofObject } from '../../../method/sampling/proof.ts'
import { solve } from '../../../method/sampling/prover.ts'
import { cubes, verifierRequestOf } from '../../../method/sampling/testing/fixtures.ts'
import { verifyLazy } from '../../../method/sampling/verifier.ts'
import { encodeRows } from '../../../task/rows.ts'
import type { Envelope } from '../../envelope.ts'
import { receiptDigest } from '../../log/entry.ts'
import { signReceipt } from '../../sign.ts'
import { isSampled, jobSeedContext, openJobSeed } from '../draws.ts'
import type { BundleExecution } from '../executions.ts'
import { wholeSha256 } from '../outputs.ts'
import type { JobReceiptParts, ReceiptAudit, ReceiptCheck, ReceiptRun } from '../sign.ts'
import type { AskedValidation } from '../statement.ts'

export const JOB_ID = '0198c0de-0000-7000-8000-000000000001'
export const coordinatorKey = ed25519KeyPair(sha256(utf8('coordinator')))
export const verifierKey = ed25519KeyPair(sha256(utf8('the verifier')))
export const nodeKeys = ['a', 'b', 'c', 'd'].map((name) => ed25519KeyPair(sha256(utf8(`node ${name}`))))

const secret = sha256(utf8('the secret of the job'))
const context = jobSeedContext(JOB_ID)
export const seedSource: SeedSource = {
  kind: 'commit-reveal',
  commitment: toHex(commitSeed(secret, context)),
  secret: toHex(secret),
  context: toHex(context),
}
export const seed = openJobSeed(seedSource, JOB_ID)

export interface World {
  readonly parts: JobReceiptParts
  readonly executions: readonly BundleExecution[]
  readonly verdicts: readonly Envelope[]
  readonly outputs: readonly Uint8Array[]
}

interface Signed extends ReceiptRun {
  readonly fields: ExecutionFields
  readonly key: KeyPair
}

const taskDigest = fromHex(cubes.id) as Digest
const digest = (...names: (string | number)[]) => sha256(utf8(names.join('/')))

export function partyOf(key: KeyPair, operator: string) {
  return { publicKey: key.publicKey, operator, engine: 'assay 0.1.0' }
}

export function rowsFor(segment: number, rows: number): Uint8Array {
  return encodeRows(Array.from({ length: rows }, (_, row) => utf8(`row ${segment}/${row}`)))
}

/** A plain run of a segment by a node, over `output`. */
function plainRun(segment: number, at: number, output: Uint8Array): Signed {
  const key = nodeKeys[at] as KeyPair
  const fields: ExecutionFields = {
    requestId: digest('request', segment, at),
    nonce: digest('nonce', segment, at),
    taskDigest,
    inputDigest: digest('input', segment),
    resultDigest: plainResultDigest(sha256(output)),
    nodeId: nodeId(key.publicKey),
  }
  return { nodeId: fields.nodeId, commitment: commitExecution(fields), output: sha256(output), fields, key }
}

/** Executions as the bundle has them: all runs of a node under one signature. */
async function signAll(runs: readonly { segment: number; run: Signed; result: BundleExecution['result'] }[]) {
  const executions: BundleExecution[] = []
  for (const key of nodeKeys) {
    const own = runs.filter(({ run }) => run.key === key)
    if (own.length === 0) continue
    const fields = own.map(({ run }) => run.fields)
    const batch = { fields, ...(await signExecutionBatch(fields, key)) }
    own.forEach(({ segment, result }, index) => {
      executions.push({
        segment,
        execution: batchedExecutionToJson(executionFromBatch(batch, index)),
        result,
      })
    })
  }
  return executions
}

/**
 * A job of plain results. Node `a` runs every segment; where the draw says so, `b` runs it again; the results of `d`,
 * who has the last segment at first, are wrong: `b` differs, `c` decides.
 */
export async function plainWorld(options: { segments?: number; share?: number } = {}): Promise<World> {
  const { segments: count = 12, share = 0.4 } = options
  const segmentRows = 3
  const rows = count * segmentRows - 1
  const outputs = Array.from({ length: count }, (_, i) => rowsFor(i, i === count - 1 ? 2 : 3))
  const all: { segment: number; run: Signed }[] = []
  const run = (segment: number, at: number, output = outputs[segment] as Uint8Array) => {
    const signed = plainRun(segment, at, output)
    all.push({ segment, run: signed })
    return signed
  }
  const audits: ReceiptAudit[] = []
  const segments = outputs.map((_, segment) => {
    if (segment === count - 1) {
      const runs = [run(segment, 3, rowsFor(99, 2)), run(segment, 1), run(segment, 2)] as const
      audits.push({ segment, rate: 1, runs, outcome: 'majority', lost: [runs[0].nodeId] })
      return runs[1]
    }
    const first = run(segment, 0)
    if (isAudited({ seed, commitment: first.commitment as Digest, rate: share })) {
      audits.push({ segment, rate: share, runs: [first, run(segment, 1)], outcome: 'agreed', lost: [] })
    }
    return first
  })
  const executions = await signAll(all.map((one) => ({ ...one, result: { kind: 'plain' } })))
  const blamed = nodeId((nodeKeys[3] as KeyPair).publicKey)
  const asked: AskedValidation = { sampling: null, redundancy: { share } }
  const parts: JobReceiptParts = {
    ...shared({ rows, segmentRows }),
    segments,
    outputSha256: fromHex(wholeSha256(outputs, rows)),
    nodes: nodeKeys.map((key, at) => partyOf(key, `operator ${at}`)),
    asked,
    audits,
    faults: [
      { segment: count - 1, nodeId: blamed, code: 'redundancy/lost', message: 'outvoted by two nodes' },
    ],
    credits: { paid: count + audits.length, byNode: { [segments[0]!.nodeId]: count - 1 } },
  }
  return { parts, executions, verdicts: [], outputs }
}

/** A job whose results come with proofs, which a verifier samples where the draw says so. */
export async function sampledWorld(share = 0.5): Promise<World> {
  const [count, segmentRows] = [6, 40]
  const asked: AskedValidation = {
    sampling: { share, confidence: 0.9, fakedShare: 0.1, falsePositiveRate: 0.01, guessProbability: 0 },
    redundancy: null,
  }
  const key = nodeKeys[0] as KeyPair
  const runs: { segment: number; run: Signed; result: BundleExecution['result'] }[] = []
  const [verdicts, checks, outputs]: [Envelope[], ReceiptCheck[], Uint8Array[]] = [[], [], []]
  for (let segment = 0; segment < count; segment++) {
    const input = Array.from({ length: segmentRows }, (_, row) => segment * segmentRows + row)
    const job = { requestId: digest('request', segment), nonce: digest('nonce', segment) }
    const request = { solverInput: input, falsePositiveRate: 0.01 }
    const solution = await solve(cubes, request, { job, key })
    const { fields } = solution.commitment
    const output = cubes.output.encode(solution.response.solverOutput)
    outputs.push(output)
    const commitment = commitExecution(fields)
    const proof = proofObject.decode(fromBase64(solution.response.solverProof.bloomFilter))
    const run = { nodeId: fields.nodeId, commitment, output: sha256(output), fields, key }
    runs.push({
      segment,
      run,
      result: {
        kind: 'sampling',
        output: toHex(outputDigest(cubes, solution.response.solverOutput)),
        proof: toHex(proofDigest(proof)),
        states: null,
      },
    })
    if (!isSampled({ seed, commitment, rate: share })) continue
    const verification = await verifyLazy(cubes, verifierRequestOf(request, solution), {
      job,
      commitment: solution.commitment,
      states: solution.states,
      seed,
      ask: { confidence: 0.9, faked: 0.1 },
    })
    const envelope = await signReceipt(
      {
        task: cubes,
        request: verifierRequestOf(request, solution),
        commitment: solution.commitment,
        verification,
        seed: seedSource,
        receivedAtSeconds: 1,
        issuedAt: new Date(1_700_000_000_000),
      },
      verifierKey,
    )
    verdicts.push(envelope)
    const { samples, confidence } = verification.check
    const verifierId = nodeId(verifierKey.publicKey)
    checks.push({ segment, commitment, verifierId, samples, confidence, receipt: receiptDigest(envelope) })
  }
  const parts: JobReceiptParts = {
    ...shared({ rows: count * segmentRows, segmentRows }),
    segments: runs.map(({ run }) => run),
    nodes: [partyOf(key, 'operator 0')],
    verifiers: [partyOf(verifierKey, 'the coordinator')],
    asked,
    checks,
    credits: { paid: count, byNode: { [nodeId(key.publicKey)]: count } },
  }
  return { parts, executions: await signAll(runs), verdicts, outputs }
}

function shared(input: { readonly rows: number; readonly segmentRows: number }) {
  return {
    job: {
      id: JOB_ID,
      name: 'a job',
      submittedAt: new Date(1_700_000_000_000),
      acceptedAt: new Date(1_700_000_060_000),
    },
    work: { descriptor: { kind: 'wasm', module: contentAddress(utf8('module'), 'raw') }, taskId: cubes.id },
    input: { cids: [contentAddress(utf8('input'), 'raw')], ...input },
    comparison: 'exact',
    seed: seedSource,
    issuedAt: new Date(1_700_000_061_000),
  } as const
}
