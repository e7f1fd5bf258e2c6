import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { fromBase64, fromHex, toBase64, toHex, utf8 } from '../../core/bytes.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { ed25519KeyPair, type KeyPair, nodeId } from '../../core/keys.ts'
import { merkleRoot } from '../../core/merkle.ts'
import {
  batchedExecutionFromJson,
  batchedExecutionToJson,
  executionFromBatch,
  signExecutionBatch,
} from '../../core/poe-batch.ts'
import { randomStream } from '../../core/sampling.ts'
import { commitSeed } from '../../core/seed.ts'
import { flipBit } from '../../core/testing/merkle-vectors.ts'
import { mutateBytes } from '../../core/testing/mutate-bytes.ts'
import { isAudited } from '../../method/redundancy/audit.ts'
import { type Envelope, sealEnvelope } from '../envelope.ts'
import { isSampled, jobSeedContext } from './draws.ts'
import { type JobReceiptParts, makeJobStatement, type ReceiptRun, signJobReceipt } from './sign.ts'
import { type JobStatement, listRoot, MAX_JOB_PAYLOAD_BYTES, MAX_LISTED, segmentLeaf } from './statement.ts'
import {
  coordinatorKey,
  JOB_ID,
  nodeKeys,
  partyOf,
  plainWorld,
  rowsFor,
  sampledWorld,
  seed,
  seedSource,
  type World,
} from './testing/job-world.ts'
import { openSegments, plainRun } from './testing/large-job.ts'
import { verifyJobReceipt } from './verify.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] }
type Lie = (statement: Mutable<JobStatement>) => void

let plain: World & { envelope: Envelope }
let sampled: World & { envelope: Envelope }

beforeAll(async () => {
  const [a, b] = [await plainWorld(), await sampledWorld()]
  plain = { ...a, envelope: await signJobReceipt(a.parts, coordinatorKey) }
  sampled = { ...b, envelope: await signJobReceipt(b.parts, coordinatorKey) }
})

function statementOf(envelope: Envelope): Mutable<JobStatement> {
  return JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload)))
}

/** A coordinator that lies: the statement changed, and signed again. */
async function resign(envelope: Envelope, lie: Lie, key: KeyPair = coordinatorKey): Promise<Envelope> {
  const statement = statementOf(envelope)
  lie(statement)
  return sealEnvelope(utf8(JSON.stringify(statement)), key, { maxBytes: MAX_JOB_PAYLOAD_BYTES })
}

const evidenceOf = ({ executions, verdicts, outputs }: World) => ({ executions, verdicts, outputs })

describe('a receipt of plain results', () => {
  it('states the job, and verifies offline with all that came beside it', async () => {
    const envelope = JSON.parse(JSON.stringify(plain.envelope))
    const signer = nodeId(coordinatorKey.publicKey)
    const inputDigest = (segment: number) => sha256(utf8(`input/${segment}`))
    const options = { signer, inputDigest, requireEvidence: true, ...evidenceOf(plain) }
    const verdict = await verifyJobReceipt(envelope, options)
    if (!verdict.ok) throw new Error(`${verdict.code} ${verdict.message}`)
    const { statement, coordinator, checked } = verdict.value
    expect(coordinator).toBe(signer)
    expect(checked).toEqual({ executions: plain.executions.length, verdicts: 0, outputs: 12 })
    const { predicate, subject } = statement
    expect(predicate.job.id).toBe(JOB_ID)
    expect(predicate.segments.count).toBe(12)
    expect(predicate.output.root).toBe(toHex(merkleRoot(plain.outputs.map((output) => sha256(output)))))
    expect(subject[0].digest).toEqual({
      assayOutputRoot: predicate.output.root,
      sha256: predicate.output.sha256,
    })
    expect(predicate.validation.audits.count).toBeGreaterThan(2)
    expect(predicate.faults.list[0]).toMatchObject({ segment: 11, node: 3, code: 'redundancy/lost' })
    expect(predicate.validation.assurance.segmentCaught).toBeCloseTo(0.4, 12)
  })

  it('verifies alone, and says that nothing else was checked', async () => {
    const verdict = await verifyJobReceipt(plain.envelope)
    expect(verdict).toMatchObject({
      ok: true,
      value: { checked: { executions: 0, verdicts: 0, outputs: 0 } },
    })
  })

  it('holds for the signer and the task that were demanded alone', async () => {
    const other = nodeId(nodeKeys[0]!.publicKey)
    expect(await verifyJobReceipt(plain.envelope, { signer: other })).toMatchObject({
      code: 'receipt/signer',
    })
    const { taskId } = plain.parts.work
    expect((await verifyJobReceipt(plain.envelope, { taskId })).ok).toBe(true)
    expect(await verifyJobReceipt(plain.envelope, { taskId: '0'.repeat(64) })).toMatchObject({
      code: 'receipt/derivation',
    })
  })

  it('asks the signature check that it was given: one for the envelope, one for each batch', async () => {
    const keys: string[] = []
    const verify = async ({ bytes }: { bytes: Uint8Array }) => {
      keys.push(toHex(bytes))
      return { ok: true, value: true } as const
    }
    const verdict = await verifyJobReceipt(plain.envelope, { ...evidenceOf(plain), verify })
    expect(verdict.ok).toBe(true)
    expect(keys[0]).toBe(toHex(coordinatorKey.publicKey.bytes))
    expect(keys.slice(1).sort()).toEqual(nodeKeys.map(({ publicKey }) => toHex(publicKey.bytes)).sort())
  })

  it('is refused, with a code, after any change of its bytes', async () => {
    const stream = randomStream(sha256(utf8('job receipts')), 'mutations')
    const payloadBytes = fromBase64(plain.envelope.payload)
    const [signature] = plain.envelope.signatures
    for (let i = 0; i < 150; i++) {
      const payload = toBase64(mutateBytes(payloadBytes, stream))
      expect((await verifyJobReceipt({ ...plain.envelope, payload })).ok).toBe(false)
      const sig = toBase64(mutateBytes(fromBase64(signature.sig), stream))
      expect((await verifyJobReceipt({ ...plain.envelope, signatures: [{ ...signature, sig }] })).ok).toBe(
        false,
      )
    }
    for (const garbage of [null, 7, 'x', [], {}, { ...plain.envelope, extra: 1 }]) {
      expect(await verifyJobReceipt(garbage)).toMatchObject({ code: 'receipt/malformed' })
    }
    const deep = await sealEnvelope(utf8('['.repeat(2 ** 20)), coordinatorKey)
    expect(await verifyJobReceipt(deep)).toMatchObject({ code: 'receipt/malformed' })
    const long = { ...plain.envelope, payload: 'A'.repeat(2 * MAX_JOB_PAYLOAD_BYTES) }
    expect(await verifyJobReceipt(long)).toMatchObject({ code: 'receipt/malformed' })
  })

  it('property: no field of the statement can be changed by anybody but its signer', async () => {
    const paths = leavesOf(statementOf(plain.envelope))
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), async (path) => {
        const statement = statementOf(plain.envelope)
        setAt(statement, path, alter(at(statement, path)))
        const forged = { ...plain.envelope, payload: toBase64(utf8(JSON.stringify(statement))) }
        const verdict = await verifyJobReceipt(forged)
        expect(verdict.ok, path.join('.')).toBe(false)
        if (!verdict.ok) expect(verdict.code).toMatch(/^receipt\/(malformed|signature)$/)
      }),
      { numRuns: 120 },
    )
  })
})

describe('a coordinator that signs what does not follow', () => {
  const hex = (text: string) => toHex(sha256(utf8(text)))
  const lies: [string, string, Lie][] = [
    ['a root of other segments', 'receipt/derivation', (s) => (s.predicate.segments.root = hex('x'))],
    ['another output root', 'receipt/derivation', (s) => (s.predicate.output.root = hex('x'))],
    ['another subject', 'receipt/derivation', (s) => (s.subject[0].digest.assayOutputRoot = hex('x'))],
    ['another digest in the subject', 'receipt/derivation', (s) => delete s.subject[0].digest.sha256],
    ['a segment too few', 'receipt/derivation', (s) => s.predicate.segments.list?.pop()],
    ['another count', 'receipt/derivation', (s) => (s.predicate.segments.count = 11)],
    ['other rows', 'receipt/derivation', (s) => (s.predicate.input.rows += 2)],
    ['segments that are not listed', 'receipt/derivation', (s) => (s.predicate.segments.list = null)],
    ['audits that are not listed', 'receipt/derivation', (s) => (s.predicate.validation.audits.list = null)],
    [
      'audits that are not listed, by a number that would not fit',
      'receipt/derivation',
      (s) => {
        s.predicate.validation.audits.list = null
        s.predicate.validation.audits.count = 1e6
      },
    ],
    ['checks that are not listed', 'receipt/derivation', (s) => (s.predicate.validation.checks.list = null)],
    ['a node of its own making', 'receipt/derivation', (s) => (s.predicate.nodes[0]!.nodeId = hex('x'))],
    ['a node twice', 'receipt/derivation', (s) => (s.predicate.nodes[3] = s.predicate.nodes[0]!)],
    ['a segment of nobody', 'receipt/derivation', (s) => (s.predicate.segments.list![0]!.node = 9)],
    ['a fault of nobody', 'receipt/derivation', (s) => (s.predicate.faults.list[0]!.node = 9)],
    ['fewer faults than listed', 'receipt/derivation', (s) => (s.predicate.faults.count = 0)],
    ['more credits to nodes than paid', 'receipt/derivation', (s) => (s.predicate.credits.nodes[1] = 1e6)],
    ['credits of nobody', 'receipt/derivation', (s) => s.predicate.credits.nodes.push(0)],
    ['another secret', 'receipt/derivation', (s) => (s.predicate.validation.seed.secret = hex('x'))],
    ['another commitment', 'receipt/derivation', (s) => (s.predicate.validation.seed.commitment = hex('x'))],
    [
      'a seed of another job',
      'receipt/derivation',
      (s) => {
        const context = jobSeedContext('another')
        const commitment = toHex(commitSeed(sha256(utf8('s')), context))
        s.predicate.validation.seed = {
          kind: 'commit-reveal',
          secret: hex('s'),
          context: toHex(context),
          commitment,
        }
      },
    ],
    [
      'a higher share asked',
      'receipt/derivation',
      (s) => (s.predicate.validation.asked.redundancy!.share = 1),
    ],
    ['more confidence', 'receipt/derivation', (s) => (s.predicate.validation.assurance.segmentCaught = 0.99)],
    [
      'more confidence in the job',
      'receipt/derivation',
      (s) => (s.predicate.validation.assurance.jobCaught = 1),
    ],
    ['no wrong share', 'receipt/derivation', (s) => (s.predicate.validation.assurance.wrongShare = 0)],
    ['another coordinator', 'receipt/signature', (s) => (s.predicate.coordinator.nodeId = hex('x'))],
    [
      "another coordinator's key",
      'receipt/signature',
      (s) => (s.predicate.coordinator.publicKey.bytes = toHex(nodeKeys[0]!.publicKey.bytes)),
    ],
    ['an unknown field', 'receipt/malformed', (s) => Object.assign(s.predicate, { extra: 1 })],
    [
      'another type',
      'receipt/malformed',
      (s) => Object.assign(s, { predicateType: 'urn:assay:job-receipt:v2' }),
    ],
  ]

  it.each(lies)('is refused for %s', async (_, code, lie) => {
    expect(await verifyJobReceipt(await resign(plain.envelope, lie))).toMatchObject({ ok: false, code })
  })

  /** Changes one audit, and keeps the root of the audits right. */
  const withAudits = (
    change: (audits: Mutable<NonNullable<JobStatement['predicate']['validation']['audits']['list']>>) => void,
  ) => {
    const lie: Lie = (s) => {
      const { audits } = s.predicate.validation
      change(audits.list as never)
      audits.count = audits.list!.length
      audits.root = listRoot(audits.list as never)
    }
    return resign(plain.envelope, lie)
  }

  it('leaves out an audit that the seed drew', async () => {
    const code = 'receipt/derivation'
    const envelope = await withAudits((audits) => audits.splice(0, 1))
    expect(await verifyJobReceipt(envelope)).toMatchObject({
      code,
      message: expect.stringContaining('was drawn'),
    })
  })

  it('claims an audit that the seed did not draw, a majority that was none, a node that voted twice …', async () => {
    const undrawn = plain.parts.segments as readonly ReceiptRun[]
    const index = undrawn.findIndex(
      ({ commitment }) => !isAudited({ seed, commitment: commitment as Digest, rate: 0.4 }),
    )
    const changes: [string, Parameters<typeof withAudits>[0]][] = [
      ['did not draw', (audits) => (audits[0]!.runs[0]!.commitment = toHex(undrawn[index]!.commitment))],
      ['no such segment', (audits) => (audits[0]!.segment = 12)],
      ['was drawn', (audits) => (audits[0]!.segment = index)],
      ['beyond', (audits) => (audits[0]!.runs[1]!.node = 4)],
      ['nodeId', (audits) => (audits[0]!.runs[1]!.node = audits[0]!.runs[0]!.node)],
      ['run 2', (audits) => (audits[0]!.drawn = 2)],
      ['below the share', (audits) => (audits[0]!.rate = 0.1)],
      ['not majority', (audits) => (audits[0]!.outcome = 'majority')],
      ['give majority', (audits) => (audits.at(-1)!.outcome = 'agreed')],
      ['give majority', (audits) => (audits.at(-1)!.lost = [1])],
      ['give majority', (audits) => (audits.at(-1)!.lost = [])],
      ['not agreed', (audits) => (audits[0]!.runs[1]!.output = hex('y'))],
    ]
    for (const [message, change] of changes) {
      const verdict = await verifyJobReceipt(await withAudits(change))
      expect(verdict, message).toMatchObject({ code: 'receipt/derivation' })
      if (!verdict.ok) expect(verdict.message).toContain(message)
    }
    const root = await resign(plain.envelope, (s) => (s.predicate.validation.audits.list![0]!.rate = 0.5))
    expect(await verifyJobReceipt(root)).toMatchObject({ code: 'receipt/derivation' })
  })

  it('has two nodes of one operator agree', async () => {
    const envelope = await resign(plain.envelope, (s) => (s.predicate.nodes[1]!.operator = 'operator 0'))
    const verdict = await verifyJobReceipt(envelope)
    expect(verdict).toMatchObject({
      code: 'receipt/derivation',
      message: expect.stringContaining('operator'),
    })
  })

  it('credits one execution twice', async () => {
    const [first, ...others] = [...plain.parts.segments]
    const parts = { ...plain.parts, segments: [first!, first!, ...others.slice(1)] }
    const verdict = await verifyJobReceipt(await signJobReceipt(parts, coordinatorKey))
    expect(verdict).toMatchObject({
      code: 'receipt/derivation',
      message: expect.stringContaining('two segments'),
    })
  })

  it('calls an answer of the minority accepted', async () => {
    const segments = [...plain.parts.segments]
    const [loser] = plain.parts.audits!.at(-1)!.runs as [ReceiptRun]
    segments[11] = loser
    const verdict = await verifyJobReceipt(await signJobReceipt({ ...plain.parts, segments }, coordinatorKey))
    expect(verdict).toMatchObject({
      code: 'receipt/derivation',
      message: expect.stringContaining('against it'),
    })
  })
})

describe('results within a tolerance', () => {
  it('may differ and agree; the rest of an audit must still be possible', async () => {
    const world = await plainWorld()
    const audits = world.parts.audits!.map((audit) =>
      audit.outcome === 'agreed'
        ? {
            ...audit,
            runs: audit.runs.map((run, i) => (i === 1 ? { ...run, output: sha256(utf8('near')) } : run)),
          }
        : audit,
    )
    const parts = { ...world.parts, audits, comparison: 'tolerant' } as const
    const envelope = await signJobReceipt(parts, coordinatorKey)
    expect((await verifyJobReceipt(envelope)).ok).toBe(true)
    const exact = await signJobReceipt({ ...parts, comparison: 'exact' }, coordinatorKey)
    expect(await verifyJobReceipt(exact)).toMatchObject({ code: 'receipt/derivation' })
    const [{ lost: _, ...first }, ...others] = audits as [(typeof audits)[0], ...typeof audits]
    const wrong = [
      { ...first, outcome: 'majority', lost: [first.runs[0]!.nodeId] },
      { ...first, outcome: 'agreed', lost: [first.runs[0]!.nodeId] },
      { ...first, outcome: 'scattered', lost: [] },
    ] as const
    for (const audit of wrong) {
      const bad = await signJobReceipt({ ...parts, audits: [audit, ...others] }, coordinatorKey)
      expect(await verifyJobReceipt(bad)).toMatchObject({ code: 'receipt/derivation' })
    }
  })
})

describe('executions beside a receipt', () => {
  it('are refused after any change, and where they belong to nothing in the receipt', async () => {
    const [good] = plain.executions as [World['executions'][number]]
    const { fields } = good.execution
    const altered = toHex(flipBit(fromHex(fields.nonce), 3))
    const wrong: unknown[] = [
      { ...good, segment: good.segment + 1 },
      { ...good, segment: 99 },
      { ...good, execution: { ...good.execution, fields: { ...fields, nonce: altered } } },
      { ...good, execution: { ...good.execution, fields: { ...fields, resultDigest: altered } } },
      { ...good, execution: { ...good.execution, index: 1 } },
      { ...good, execution: { ...good.execution, count: 1, path: [], index: 0 } },
      { ...good, execution: { ...good.execution, path: good.execution.path.slice(1) } },
      { ...good, execution: { ...good.execution, signature: toBase64(new Uint8Array(64)) } },
      { ...good, execution: { ...good.execution, publicKey: { type: 'ed25519', bytes: altered } } },
      { ...good, execution: null },
      { ...good, result: { kind: 'sampling', output: altered, proof: altered, states: null } },
    ]
    for (const execution of wrong) {
      const verdict = await verifyJobReceipt(plain.envelope, { executions: [execution as never] })
      expect(verdict, JSON.stringify(execution)).toMatchObject({ code: 'job-receipt/execution' })
    }
  })

  it('are refused where the task or the input is another than is known', async () => {
    const executions = plain.executions
    const inputDigest = () => new Uint8Array(32)
    expect(await verifyJobReceipt(plain.envelope, { executions, inputDigest })).toMatchObject({
      code: 'job-receipt/execution',
      message: expect.stringContaining('inputDigest'),
    })
    const envelope = await resign(plain.envelope, (s) => (s.predicate.work.taskId = '0'.repeat(64)))
    expect(await verifyJobReceipt(envelope, { executions })).toMatchObject({
      code: 'job-receipt/execution',
      message: expect.stringContaining('taskDigest'),
    })
  })

  it('are refused where a node signed another output than it is credited with', async () => {
    const lie: Lie = (s) => {
      const { segments } = s.predicate
      segments.list![0]!.output = toHex(sha256(utf8('another output')))
      const outputs = segments.list!.map(({ output }) => fromHex(output))
      const records = segments.list!.map(({ node, commitment, output }, index) =>
        segmentLeaf({ index, nodeId: s.predicate.nodes[node]!.nodeId, commitment, output }),
      )
      segments.root = toHex(merkleRoot(records))
      s.predicate.output.root = toHex(merkleRoot(outputs))
      s.subject[0].digest.assayOutputRoot = s.predicate.output.root
      const { audits } = s.predicate.validation
      for (const audit of audits.list!) {
        if (audit.segment === 0) for (const run of audit.runs) run.output = segments.list![0]!.output
      }
      audits.root = listRoot(audits.list as never)
    }
    const envelope = await resign(plain.envelope, lie)
    expect((await verifyJobReceipt(envelope)).ok).toBe(true)
    const verdict = await verifyJobReceipt(envelope, { executions: plain.executions })
    expect(verdict).toMatchObject({
      code: 'job-receipt/execution',
      message: expect.stringContaining('output'),
    })
  })

  it('must all be there where that is demanded: one cannot stand for another', async () => {
    const all = plain.executions
    for (let i = 0; i < all.length; i++) {
      const executions = all.map((execution, j) => (i === j ? all[(i + 1) % all.length]! : execution))
      const verdict = await verifyJobReceipt(plain.envelope, { executions, requireEvidence: true })
      expect(verdict).toMatchObject({ code: 'job-receipt/execution' })
    }
  })

  it('of a node that the receipt does not name are nobody’s', async () => {
    const stranger = ed25519KeyPair(sha256(utf8('stranger')))
    const [good] = plain.executions as [World['executions'][number]]
    const own = batchedExecutionFromJson(good.execution)
    const fields = [{ ...own.fields, nodeId: nodeId(stranger.publicKey) }]
    const batch = { fields, ...(await signExecutionBatch(fields, stranger)) }
    const execution = batchedExecutionToJson(executionFromBatch(batch, 0))
    expect(await verifyJobReceipt(plain.envelope, { executions: [{ ...good, execution }] })).toMatchObject({
      code: 'job-receipt/execution',
    })
  })
})

describe('outputs beside a receipt', () => {
  it('are refused in another order, number or content', async () => {
    const { outputs } = plain
    const [a, b, ...others] = outputs as [Uint8Array, Uint8Array, ...Uint8Array[]]
    const wrong = [
      [b, a, ...others],
      [a, ...others],
      [...outputs, a],
      [],
      [rowsFor(5, 3), b, ...others],
      [flipBit(a, 100), b, ...others],
      [a.subarray(0, -1), b, ...others],
      [rowsFor(0, 2), b, ...others],
      [new Uint8Array(), b, ...others],
    ]
    for (const list of wrong) {
      expect(await verifyJobReceipt(plain.envelope, { outputs: list })).toMatchObject({
        code: 'job-receipt/output',
      })
    }
    const envelope = await resign(plain.envelope, (s) => {
      s.predicate.output.sha256 = '0'.repeat(64)
      s.subject[0].digest.sha256 = '0'.repeat(64)
    })
    expect(await verifyJobReceipt(envelope, { outputs })).toMatchObject({ code: 'job-receipt/output' })
  })
})

describe('a receipt of sampled results', () => {
  it('verifies with the receipts of the verifier', async () => {
    const options = { requireEvidence: true, ...evidenceOf(sampled) }
    const verdict = await verifyJobReceipt(sampled.envelope, options)
    if (!verdict.ok) throw new Error(`${verdict.code} ${verdict.message}`)
    expect(sampled.verdicts.length).toBeGreaterThan(0)
    expect(sampled.verdicts.length).toBeLessThan(6)
    expect(verdict.value.checked).toEqual({ executions: 6, verdicts: sampled.verdicts.length, outputs: 6 })
    expect(verdict.value.statement.predicate.validation.assurance.segmentCaught).toBeCloseTo(0.45, 9)
  })

  it('ties each signed result to the bytes of its output', async () => {
    const [good, ...others] = sampled.executions as [World['executions'][number], ...World['executions']]
    if (good.result.kind !== 'sampling') throw new Error('expected a proof')
    const changes = [
      { ...good.result, output: toHex(flipBit(fromHex(good.result.output), 1)) },
      { ...good.result, proof: toHex(flipBit(fromHex(good.result.proof), 1)) },
      { ...good.result, states: good.result.proof },
      { kind: 'plain' },
    ]
    for (const result of changes) {
      const executions = [{ ...good, result } as never, ...others]
      expect(await verifyJobReceipt(sampled.envelope, { executions })).toMatchObject({
        code: 'job-receipt/execution',
      })
    }
    // A coordinator that has other outputs than the nodes signed is found out by the bytes alone.
    const outputs = sampled.outputs.map((_, i) => rowsFor(i, 40))
    const segments = [...sampled.parts.segments].map((run, i) => ({ ...run, output: sha256(outputs[i]!) }))
    const envelope = await signJobReceipt({ ...sampled.parts, segments }, coordinatorKey)
    const { executions } = sampled
    expect((await verifyJobReceipt(envelope, { executions })).ok).toBe(true)
    expect(await verifyJobReceipt(envelope, { executions, outputs })).toMatchObject({
      code: 'job-receipt/execution',
      message: expect.stringContaining('at hand'),
    })
  })

  it('is refused where a drawn result was not sampled, or too little', async () => {
    const checks = sampled.parts.checks!
    const changes: JobReceiptParts['checks'][] = [
      checks.slice(1),
      [],
      [{ ...checks[0]!, confidence: 0.8 }, ...checks.slice(1)],
      [{ ...checks[0]!, confidence: null }, ...checks.slice(1)],
      [{ ...checks[0]!, samples: 41 }, ...checks.slice(1)],
      [{ ...checks[0]!, segment: 6 }, ...checks.slice(1)],
      [{ ...checks[0]!, commitment: sha256(utf8('x')) }, ...checks.slice(1)],
    ]
    for (const changed of changes) {
      const envelope = await signJobReceipt({ ...sampled.parts, checks: changed! }, coordinatorKey)
      expect(await verifyJobReceipt(envelope)).toMatchObject({ code: 'receipt/derivation' })
    }
    for (const { commitment } of checks)
      expect(isSampled({ seed, commitment: commitment as Digest, rate: 0.5 })).toBe(true)
    const stray = await resign(sampled.envelope, (s) => {
      const list = s.predicate.validation.checks.list!
      list[0]!.verifier = 1
      s.predicate.validation.checks.root = listRoot(list as never)
    })
    expect(await verifyJobReceipt(stray)).toMatchObject({ code: 'receipt/derivation' })
  })

  it('is refused where a check has no receipt of the verifier, or another', async () => {
    const { verdicts } = sampled
    const code = 'job-receipt/check'
    expect(
      await verifyJobReceipt(sampled.envelope, {
        verdicts: verdicts.slice(1),
        executions: sampled.executions,
        requireEvidence: true,
      }),
    ).toMatchObject({ code })
    for (const verdict of [
      null,
      {},
      plain.envelope,
      { ...verdicts[0]!, payload: verdicts[0]!.payload.slice(4) },
    ]) {
      expect(await verifyJobReceipt(sampled.envelope, { verdicts: [verdict] })).toMatchObject({ code })
    }
    const lies: ((s: Mutable<JobStatement>) => void)[] = [
      (s) => (s.predicate.work.taskId = '0'.repeat(64)),
      (s) => {
        const list = s.predicate.validation.checks.list!
        list[0]!.samples -= 1
        s.predicate.validation.checks.root = listRoot(list as never)
      },
      (s) => {
        const list = s.predicate.validation.checks.list!
        list[0]!.receipt = '0'.repeat(64)
        s.predicate.validation.checks.root = listRoot(list as never)
      },
      (s) => {
        const list = s.predicate.validation.checks.list!
        const { receipt } = list[0]!
        list[0]!.receipt = list[1]!.receipt
        list[1]!.receipt = receipt
        s.predicate.validation.checks.root = listRoot(list as never)
      },
      (s) => {
        const { publicKey } = partyOf(nodeKeys[2]!, 'x')
        Object.assign(s.predicate.validation.verifiers[0]!, {
          nodeId: nodeId(publicKey),
          publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
        })
      },
    ]
    for (const lie of lies) {
      expect(await verifyJobReceipt(await resign(sampled.envelope, lie), { verdicts })).toMatchObject({
        code,
      })
    }
  })
})

describe('a job of more segments than are listed', () => {
  it('is bound by its root, and opened one by one', async () => {
    const count = MAX_LISTED + 5
    const key = nodeKeys[0]!
    const runs = Array.from({ length: count }, (_, i) => plainRun(i, key))
    const parts: JobReceiptParts = {
      ...plain.parts,
      input: { ...plain.parts.input, rows: count, segmentRows: 1 },
      segments: runs,
      outputSha256: null,
      audits: [],
      faults: [],
      asked: { sampling: null, redundancy: null },
      credits: { paid: 0, byNode: {} },
    }
    const envelope = await signJobReceipt(parts, coordinatorKey)
    expect(statementOf(envelope).predicate.segments).toMatchObject({ count, list: null })
    expect((await verifyJobReceipt(envelope)).ok).toBe(true)

    const executions = await openSegments(runs, { indices: [0, 7, count - 1], key })
    expect(await verifyJobReceipt(envelope, { executions })).toMatchObject({
      ok: true,
      value: { checked: { executions: 3 } },
    })
    const [first, second] = executions as [World['executions'][number], World['executions'][number]]
    const { record: _, ...bare } = first
    const wrong = [
      bare,
      { ...first, segment: 1 },
      { ...first, record: second.record },
      { ...first, record: { ...first.record!, output: '0'.repeat(64) } },
    ]
    for (const execution of wrong) {
      expect(await verifyJobReceipt(envelope, { executions: [execution as never] })).toMatchObject({
        code: 'job-receipt/execution',
      })
    }
    expect(await verifyJobReceipt(envelope, { executions, requireEvidence: true })).toMatchObject({
      code: 'job-receipt/execution',
    })
  }, 60_000)
})

describe('parts that do not fit', () => {
  it.each([
    ['a node that is not listed', (p) => ({ ...p, nodes: p.nodes.slice(1) })],
    ['a node that is listed twice', (p) => ({ ...p, nodes: [...p.nodes, p.nodes[0]!] })],
    ['a segment too few', (p) => ({ ...p, segments: [...p.segments].slice(1) })],
    [
      'a key that is none',
      (p) => ({
        ...p,
        nodes: [{ ...p.nodes[0]!, publicKey: { type: 'ed25519', bytes: new Uint8Array(3) } }],
      }),
    ],
    ['credits of a stranger', (p) => ({ ...p, credits: { paid: 1, byNode: { ['0'.repeat(64)]: 1 } } })],
    [
      'a verifier that is not listed',
      (p) => ({
        ...p,
        checks: [
          {
            segment: 0,
            commitment: new Uint8Array(32),
            verifierId: 'x',
            samples: 1,
            confidence: null,
            receipt: new Uint8Array(32),
          },
        ],
      }),
    ],
  ] satisfies [string, (parts: JobReceiptParts) => JobReceiptParts][])('%s', (_, change) => {
    expect(() => makeJobStatement(change(plain.parts), coordinatorKey.publicKey)).toThrow(
      expect.objectContaining({ code: 'job-receipt/parts' }),
    )
  })

  it('fields out of range', () => {
    const bad = { ...plain.parts, work: { ...plain.parts.work, taskId: 'x' } }
    expect(() => makeJobStatement(bad, coordinatorKey.publicKey)).toThrow(
      expect.objectContaining({ code: 'codec/schema' }),
    )
    const local = { ...plain.parts, seed: { kind: 'local', seed: toHex(seed) } } as const
    expect(() => makeJobStatement(local, coordinatorKey.publicKey)).toThrow(
      expect.objectContaining({ code: 'codec/schema' }),
    )
    expect(seedSource.kind).toBe('commit-reveal')
  })
})

type Path = (string | number)[]

/** Paths to every scalar, the first entries of lists alone. */
function leavesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([key, inner]) =>
    Array.isArray(value) && Number(key) > 1 ? [] : leavesOf(inner, [...path, key]),
  )
}

function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], value)
}

function setAt(value: unknown, path: Path, leaf: unknown): void {
  const parent = at(value, path.slice(0, -1)) as Record<string, unknown>
  parent[path.at(-1) as string] = leaf
}

function alter(leaf: unknown): unknown {
  if (typeof leaf === 'number') return leaf + 1
  if (typeof leaf === 'string')
    return leaf.length > 3 ? leaf.slice(0, -1) + (leaf.endsWith('0') ? '1' : '0') : `${leaf}x`
  return 'x'
}
