import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../core/bytes.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { nodeId } from '../../core/keys.ts'
import { randomStream } from '../../core/sampling.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { manyLeaves } from '../../core/testing/merkle-vectors.ts'
import { mutateBytes } from '../../core/testing/mutate-bytes.ts'
import { logEntryObject } from '../log/entry.ts'
import { log, logKey, logServer } from '../log/testing/log-server.ts'
import {
  jobLogEntry,
  makeReceiptBundle,
  parseReceiptBundle,
  type ReceiptBundle,
  verifyReceiptBundle,
} from './bundle.ts'
import { MAX_BUNDLE_EXECUTIONS } from './executions.ts'
import { makeJobStatement, signJobReceipt } from './sign.ts'
import { coordinatorKey, plainWorld, sampledWorld, type World } from './testing/job-world.ts'
import { MAX_BUNDLE_VERDICTS } from './verdicts.ts'

/** The bundle of a world, signed by the key that keeps the log, at index 5 of 9 entries. */
async function bundleOf({ parts, executions, verdicts }: World, key = logKey): Promise<ReceiptBundle> {
  const envelope = await signJobReceipt(parts, key)
  const leaves = manyLeaves(9)
  leaves[5] = logEntryObject.encode(jobLogEntry(envelope, makeJobStatement(parts, key.publicKey)))
  const server = logServer(leaves)
  const inclusion = {
    leafIndex: 5,
    path: server.inclusion(5, 9),
    checkpoint: await server.checkpoint(9, 1_700_000_070),
  }
  return makeReceiptBundle({ envelope, executions: [...executions], verdicts: [...verdicts], inclusion })
}

let world: World
let bundle: ReceiptBundle

beforeAll(async () => {
  world = await plainWorld()
  bundle = await bundleOf(world)
})

const fileOf = (value: unknown) => JSON.stringify(value, null, 2)

describe('a bundle', () => {
  it('comes back from its file, and verifies with everything in it', async () => {
    for (const file of [fileOf(bundle), utf8(fileOf(bundle))]) {
      expect(parseReceiptBundle(file)).toEqual(bundle)
    }
    const { outputs } = world
    const signer = nodeId(logKey.publicKey)
    const options = { log, signer, outputs, requireLogged: true, requireEvidence: true }
    const verdict = await verifyReceiptBundle(parseReceiptBundle(fileOf(bundle)), options)
    expect(verdict).toMatchObject({
      ok: true,
      value: {
        coordinator: signer,
        checked: { executions: world.executions.length, outputs: 12 },
        checkpoint: { origin: log.origin, size: 9 },
      },
    })
  })

  it('of sampled results carries the receipts of verifiers', async () => {
    const sampled = await sampledWorld()
    const file = fileOf(await bundleOf(sampled))
    const verdict = await verifyReceiptBundle(parseReceiptBundle(file), { log, requireEvidence: true })
    expect(verdict).toMatchObject({ ok: true, value: { checked: { verdicts: sampled.verdicts.length } } })
  })

  it("is in the coordinator's own log where no other was named", async () => {
    expect(await verifyReceiptBundle(bundle)).toMatchObject({ ok: true, value: { checkpoint: { size: 9 } } })
    const elsewhere = await bundleOf(world, coordinatorKey)
    expect(await verifyReceiptBundle(elsewhere)).toMatchObject({ code: 'log/signature' })
    expect((await verifyReceiptBundle(elsewhere, { log })).ok).toBe(true)
  })

  it('without proof of inclusion says so, or is refused', async () => {
    const { envelope, executions, verdicts } = bundle
    const unlogged = makeReceiptBundle({ envelope, executions, verdicts })
    expect(unlogged.inclusion).toBeNull()
    expect(await verifyReceiptBundle(unlogged)).toMatchObject({ ok: true, value: { checkpoint: null } })
    expect(await verifyReceiptBundle(unlogged, { requireLogged: true })).toMatchObject({
      code: 'job-receipt/unlogged',
    })
  })

  it('of which evidence was left out is refused, unless that is allowed', async () => {
    const bare = makeReceiptBundle({ envelope: bundle.envelope })
    expect(bare).toMatchObject({ executions: [], verdicts: [] })
    expect(await verifyReceiptBundle(bare)).toMatchObject({ code: 'job-receipt/execution' })
    for (const executions of [bundle.executions.slice(1), bundle.executions.slice(0, -1)]) {
      expect(await verifyReceiptBundle({ ...bundle, executions })).toMatchObject({
        code: 'job-receipt/execution',
      })
    }
    const sampled = await bundleOf(await sampledWorld())
    expect((await verifyReceiptBundle(sampled)).ok).toBe(true)
    expect(sampled.verdicts.length).toBeGreaterThan(0)
    expect(await verifyReceiptBundle({ ...sampled, verdicts: sampled.verdicts.slice(1) })).toMatchObject({
      code: 'job-receipt/check',
    })
    expect(await verifyReceiptBundle(bare, { requireEvidence: false })).toMatchObject({
      ok: true,
      value: { checked: { executions: 0, verdicts: 0 } },
    })
  })

  it('with proof for another receipt, index, path or checkpoint is refused', async () => {
    const good = bundle.inclusion as NonNullable<ReceiptBundle['inclusion']>
    const wrong: [string, NonNullable<ReceiptBundle['inclusion']>][] = [
      ['log/inclusion', { ...good, leafIndex: 4 }],
      ['log/inclusion', { ...good, leafIndex: 9 }],
      ['log/inclusion', { ...good, path: good.path.slice(1) }],
      ['log/inclusion', { ...good, path: [...good.path].reverse() }],
      ['log/signature', { ...good, checkpoint: good.checkpoint.replace('\n9\n', '\n8\n') }],
      ['log/malformed', { ...good, checkpoint: 'x' }],
    ]
    for (const [code, inclusion] of wrong) {
      expect(await verifyReceiptBundle({ ...bundle, inclusion }, { log })).toMatchObject({ code })
    }
    const later = { ...world.parts, issuedAt: new Date(1_700_000_062_000) }
    const other = await signJobReceipt(later, logKey)
    expect(await verifyReceiptBundle({ ...bundle, envelope: other }, { log })).toMatchObject({
      code: 'log/inclusion',
    })
  })

  it('with an execution or an envelope that does not hold is refused as they are', async () => {
    const [first, ...others] = bundle.executions as [ReceiptBundle['executions'][number]]
    const stray = { ...bundle, executions: [{ ...first, segment: 3 }, ...others] }
    expect(await verifyReceiptBundle(stray)).toMatchObject({ code: 'job-receipt/execution' })
    expect(await verifyReceiptBundle({ ...bundle, envelope: null })).toMatchObject({
      code: 'receipt/malformed',
    })
    const other = nodeId(coordinatorKey.publicKey)
    expect(await verifyReceiptBundle(bundle, { signer: other })).toMatchObject({ code: 'receipt/signer' })
  })
})

describe('a file', () => {
  const malformed = (file: string | Uint8Array) => expect(codeOf(() => parseReceiptBundle(file)).code)

  it('is refused too deep, too long, not JSON, not UTF-8, or of another form', () => {
    malformed('['.repeat(100_000)).toBe('receipt/malformed')
    malformed(`{"format":${'[['.repeat(40)}1${']]'.repeat(40)}}`).toBe('receipt/malformed')
    malformed('').toBe('receipt/malformed')
    malformed('{').toBe('receipt/malformed')
    malformed(Uint8Array.of(0xff, 0xfe)).toBe('receipt/malformed')
    const [first] = bundle.executions
    const wrong: unknown[] = [
      null,
      [],
      { ...bundle, format: 'x' },
      { ...bundle, version: 2 },
      { ...bundle, extra: 1 },
      { ...bundle, executions: null },
      { ...bundle, executions: new Array(MAX_BUNDLE_EXECUTIONS + 1).fill(first) },
      { ...bundle, verdicts: new Array(MAX_BUNDLE_VERDICTS + 1).fill(0) },
      { ...bundle, inclusion: { ...bundle.inclusion, leafIndex: -1 } },
      { ...bundle, inclusion: { ...bundle.inclusion, path: new Array(65).fill('0'.repeat(64)) } },
      { ...bundle, inclusion: { ...bundle.inclusion, path: ['0'] } },
      { ...bundle, inclusion: { ...bundle.inclusion, extra: 1 } },
    ]
    for (const value of wrong) malformed(JSON.stringify(value)).toBe('receipt/malformed')
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        malformed(JSON.stringify(value)).toBe('receipt/malformed')
      }),
    )
  })

  it('is refused, or says the same, after any change of its bytes', async () => {
    const stream = randomStream(sha256(utf8('bundles')), 'mutations')
    const file = utf8(JSON.stringify(bundle))
    for (let i = 0; i < 200; i++) {
      const { value, code } = codeOf(() => parseReceiptBundle(mutateBytes(file, stream)))
      if (value === undefined) {
        expect(code).toBe('receipt/malformed')
        continue
      }
      const verdict = await verifyReceiptBundle(value, { log, requireLogged: true, requireEvidence: true })
      // White space behind the object is the one change that means nothing.
      expect(verdict.ok).toBe(JSON.stringify(value) === JSON.stringify(bundle))
    }
  })
})

it('a leaf of the log is about this very envelope', async () => {
  const statement = makeJobStatement(world.parts, logKey.publicKey)
  const entry = jobLogEntry(bundle.envelope, statement)
  expect(entry).toMatchObject({ jobId: statement.predicate.job.id, issuedAtMs: 1_700_000_061_000 })
  const again = await signJobReceipt(world.parts, coordinatorKey)
  expect(jobLogEntry(again, statement).receipt).not.toEqual(entry.receipt as Digest)
})
