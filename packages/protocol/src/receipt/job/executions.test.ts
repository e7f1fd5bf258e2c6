import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex, toBase64, toHex, utf8 } from '../../core/bytes.ts'
import { sha256 } from '../../core/digest.ts'
import { ed25519KeyPair, nodeId } from '../../core/keys.ts'
import { merkleRoot } from '../../core/merkle.ts'
import {
  batchedExecutionFromJson,
  batchedExecutionToJson,
  executionFromBatch,
  signExecutionBatch,
} from '../../core/poe-batch.ts'
import { flipBit } from '../../core/testing/merkle-vectors.ts'
import { type JobReceiptParts, signJobReceipt } from './sign.ts'
import { listRoot, MAX_LISTED, segmentLeaf } from './statement.ts'
import { coordinatorKey, nodeKeys, plainWorld, rowsFor, type World } from './testing/job-world.ts'
import { openSegments, plainRun } from './testing/large-job.ts'
import { type Lie, resign, type SignedWorld, signWorld, statementOf } from './testing/lies.ts'
import { verifyJobReceipt } from './verify.ts'

let plain: SignedWorld

beforeAll(async () => {
  plain = await signWorld(await plainWorld())
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
