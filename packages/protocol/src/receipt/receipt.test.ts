import { expect, it } from 'vitest'
import { fromBase64, toBase64, toHex, utf8 } from '../core/bytes.ts'
import { nodeId } from '../core/keys.ts'
import { randomStream } from '../core/sampling.ts'
import { mutateBytes } from '../core/testing/mutate-bytes.ts'
import { lazyTask } from '../method/sampling/cheat.ts'
import { solve } from '../method/sampling/prover.ts'
import {
  bytes32,
  challenge,
  check,
  cubes,
  job,
  otherKey,
  range,
  requestOf,
  solverKey,
  verifierKey,
  verifierRequestOf,
} from '../method/sampling/testing/fixtures.ts'
import { verifyBaseline } from '../method/sampling/verifier-rerun.ts'
import { type Envelope, preAuthEncoding, sealEnvelope } from './envelope.ts'
import { signReceipt } from './sign.ts'
import { verifyReceipt } from './verify.ts'

const request = requestOf(range(300))
const seed = { kind: 'local', seed: toHex(challenge) } as const
const ask = { confidence: 0.99, faked: 0.05 }

async function receiptOf(task = cubes) {
  const solution = await solve(task, request, { job, key: solverKey })
  const verification = await check(cubes, request, { solution, ask })
  const parts = {
    task: cubes,
    request: verifierRequestOf(request, solution),
    commitment: solution.commitment,
    verification,
    seed,
    receivedAtSeconds: 1_700_000_000,
    issuedAt: new Date('2026-01-02T03:04:05Z'),
  }
  return signReceipt(parts, verifierKey)
}

type Statement = { predicate: { [key: string]: never } }

/** The envelope with another statement, signed again by its verifier: a verifier that lies. */
async function resign(envelope: Envelope, change: (statement: never) => void): Promise<Envelope> {
  const statement = JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload))) as Statement
  change(statement as never)
  return sealEnvelope(utf8(JSON.stringify(statement)), verifierKey)
}

it('states what was checked and how, and verifies offline', async () => {
  const envelope = await receiptOf()
  const verdict = await verifyReceipt(JSON.parse(JSON.stringify(envelope)))
  if (!verdict.ok) throw new Error(verdict.message)
  const { predicate } = verdict.value
  expect(predicate.task.id).toBe(cubes.id)
  expect(predicate.verdict).toMatchObject({ isVerified: true, evidence: null })
  expect(predicate.check.confidence).toBeGreaterThanOrEqual(0.99)
  expect(predicate.check.indices).toHaveLength(predicate.check.samples)
  expect(predicate.verifier.nodeId).toBe(nodeId(verifierKey.publicKey))
})

it('records a rejection with its evidence', async () => {
  const lazy = lazyTask(cubes, new Set(range(200)), () => -5n)
  const verdict = await verifyReceipt(await receiptOf(lazy))
  if (!verdict.ok) throw new Error(verdict.message)
  expect(verdict.value.predicate.verdict.evidence?.code).toBe('sampling/state-mismatch')
})

it('records a full re-execution', async () => {
  const solution = await solve(cubes, request, { job, key: solverKey })
  const verifierRequest = verifierRequestOf(request, solution)
  const verification = await verifyBaseline(cubes, verifierRequest, {
    job,
    commitment: solution.commitment,
    seed: challenge,
  })
  const envelope = await signReceipt(
    {
      task: cubes,
      request: verifierRequest,
      commitment: solution.commitment,
      verification,
      seed,
      receivedAtSeconds: 1,
      issuedAt: new Date(0),
    },
    verifierKey,
  )
  expect((await verifyReceipt(envelope)).ok).toBe(true)
})

it('holds for the signer that was demanded alone', async () => {
  const envelope = await receiptOf()
  expect((await verifyReceipt(envelope, { signer: nodeId(verifierKey.publicKey) })).ok).toBe(true)
  const other = await verifyReceipt(envelope, { signer: nodeId(otherKey.publicKey) })
  expect(other).toMatchObject({ ok: false, code: 'receipt/signer' })
})

it('is refused where a verifier that signs it lies about what follows from the rest', async () => {
  const envelope = await receiptOf()
  const lies: [string, (statement: never) => void][] = [
    [
      'receipt/derivation',
      (s: { predicate: { check: { confidence: number } } }) => (s.predicate.check.confidence = 0.999),
    ],
    [
      'receipt/derivation',
      (s: { predicate: { check: { indices: number[] } } }) => (s.predicate.check.indices[0] = 299),
    ],
    [
      'receipt/derivation',
      (s: { predicate: { check: { samples: number } } }) => (s.predicate.check.samples += 1),
    ],
    [
      'receipt/derivation',
      (s: { predicate: { check: { indices: null } } }) => (s.predicate.check.indices = null),
    ],
    [
      'receipt/derivation',
      (s: { predicate: { verdict: { isVerified: boolean } } }) => (s.predicate.verdict.isVerified = false),
    ],
    [
      'receipt/derivation',
      (s: { predicate: { check: { seed: { seed: string } } } }) =>
        (s.predicate.check.seed.seed = toHex(bytes32('x'))),
    ],
    [
      'receipt/commitment',
      (s: { predicate: { output: { digest: string } } }) => (s.predicate.output.digest = toHex(bytes32('x'))),
    ],
    [
      'receipt/commitment',
      (s: { predicate: { task: { id: string } } }) => (s.predicate.task.id = toHex(bytes32('x'))),
    ],
    [
      'receipt/signature',
      (s: { predicate: { verifier: { nodeId: string } } }) =>
        (s.predicate.verifier.nodeId = nodeId(otherKey.publicKey)),
    ],
    ['receipt/malformed', (s: { predicate: { extra: number } }) => (s.predicate.extra = 1)],
    ['receipt/malformed', (s: { predicateType: string }) => (s.predicateType = 'urn:assay:receipt:v2')],
  ]
  for (const [code, change] of lies) {
    expect(await verifyReceipt(await resign(envelope, change))).toMatchObject({ ok: false, code })
  }
})

it('is refused, with a code, after any change of its bytes', async () => {
  const envelope = await receiptOf()
  const stream = randomStream(bytes32('receipts'), 'mutations')
  for (let i = 0; i < 300; i++) {
    const payload = toBase64(mutateBytes(fromBase64(envelope.payload), stream))
    const verdict = await verifyReceipt({ ...envelope, payload })
    expect(verdict.ok).toBe(false)
    const sig = toBase64(mutateBytes(fromBase64(envelope.signatures[0].sig), stream))
    const forged = await verifyReceipt({ ...envelope, signatures: [{ ...envelope.signatures[0], sig }] })
    expect(forged.ok).toBe(false)
  }
  for (const garbage of [null, 7, 'x', [], {}, { ...envelope, extra: 1 }, { ...envelope, signatures: [] }]) {
    expect(await verifyReceipt(garbage)).toMatchObject({ ok: false, code: 'receipt/malformed' })
  }
})

it('signs the pre-authentication encoding of DSSE', () => {
  // The example of the DSSE protocol, section "Test vectors".
  const encoded = preAuthEncoding('http://example.com/HelloWorld', utf8('hello world'))
  expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world')
})
