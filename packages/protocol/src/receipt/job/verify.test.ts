import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { fromBase64, toBase64, toHex, utf8 } from '../../core/bytes.ts'
import { sha256 } from '../../core/digest.ts'
import { nodeId } from '../../core/keys.ts'
import { merkleRoot } from '../../core/merkle.ts'
import { randomStream } from '../../core/sampling.ts'
import { mutateBytes } from '../../core/testing/mutate-bytes.ts'
import { sealEnvelope } from '../envelope.ts'
import { MAX_JOB_PAYLOAD_BYTES } from './statement.ts'
import { coordinatorKey, JOB_ID, nodeKeys, plainWorld } from './testing/job-world.ts'
import { evidenceOf, type SignedWorld, signWorld, statementOf } from './testing/lies.ts'
import { verifyJobReceipt } from './verify.ts'

let plain: SignedWorld

beforeAll(async () => {
  plain = await signWorld(await plainWorld())
})

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
