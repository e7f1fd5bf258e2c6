import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex, toHex, utf8 } from '../../core/bytes.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { nodeId } from '../../core/keys.ts'
import { flipBit } from '../../core/testing/merkle-vectors.ts'
import { isSampled } from './draws.ts'
import { type JobReceiptParts, signJobReceipt } from './sign.ts'
import { type JobStatement, listRoot } from './statement.ts'
import {
  coordinatorKey,
  nodeKeys,
  partyOf,
  plainWorld,
  rowsFor,
  sampledWorld,
  seed,
  type World,
} from './testing/job-world.ts'
import { evidenceOf, type Mutable, resign, type SignedWorld, signWorld } from './testing/lies.ts'
import { verifyJobReceipt } from './verify.ts'

let plain: SignedWorld
let sampled: SignedWorld

beforeAll(async () => {
  plain = await signWorld(await plainWorld())
  sampled = await signWorld(await sampledWorld())
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
      // As many as it likes, so that they would be too many to come with the receipt.
      [...checks, checks[0]!],
      [...checks, { ...checks[0]!, commitment: sha256(utf8('x')) }],
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

  it('is refused where the verifier was told to look for less than the job asked for', async () => {
    const { sampling } = sampled.parts.asked
    const { verdicts } = sampled
    for (const more of [{ fakedShare: 0.05 }, { guessProbability: 0.001 }, { falsePositiveRate: 1e-6 }]) {
      const asked = { redundancy: null, sampling: { ...sampling!, ...more } }
      const envelope = await signJobReceipt({ ...sampled.parts, asked }, coordinatorKey)
      expect((await verifyJobReceipt(envelope)).ok).toBe(true)
      expect(await verifyJobReceipt(envelope, { verdicts })).toMatchObject({
        code: 'job-receipt/check',
        message: expect.stringContaining('weaker'),
      })
    }
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
