/** Results that name blobs by their address: only what the node's operator uploaded is read, whoever else has it. */
import { fromBase64, toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { uploadBytes } from 'assay/wire/blob-transfer'
import type { SegmentResult } from 'assay/wire/dispatch'
import type { JobSpecInput } from 'assay/wire/job'
import type { ValueRef } from 'assay/wire/text'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { answer } from '../life/answers.ts'
import { type Account, type Door, openDoor } from './door.ts'

const MODULE = utf8('a module')
const ROWS = 4
const SPEC: JobSpecInput = {
  work: {
    kind: 'wasm',
    module: contentAddress(MODULE, 'raw'),
    memoryPages: 1,
    timeLimitMs: 1000,
    maxOutputBytes: 20_000,
  },
  input: { inline: toBase64(encodeRows(Array.from({ length: ROWS }, (_, i) => utf8(`row ${i}`)))) },
  rows: ROWS,
  segmentRows: 1,
  pricePerSegment: 10,
  budget: 200,
}

let door: Door
let victim: Account
let attacker: Account
beforeAll(async () => {
  door = await openDoor()
  victim = await door.account()
  attacker = await door.account()
  await uploadBytes(attacker.client, MODULE)
}, 60_000)
afterAll(() => door?.stop())

const bytesOf = (value: ValueRef): Uint8Array =>
  'inline' in value ? fromBase64(value.inline) : new Uint8Array()

/** One answer of four results: of blobs of the victim, of nobody, of the node, and of both. */
async function outcomesOf(
  spec: JobSpecInput,
  change: (result: SegmentResult) => ValueRef,
  put: typeof byProof,
) {
  const node = await door.node()
  const { id } = await attacker.client.submitJob({ body: spec })
  const { groups } = await node.client.lease({ body: { max: ROWS } })
  const request = await answer(node, groups)
  expect(request.results).toHaveLength(ROWS)
  const all = request.results.map((result) => bytesOf(change(result)))
  const [secret, , own, both] = all as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  await uploadBytes(victim.client, secret)
  await uploadBytes(node.client, own, { side: 'node' })
  await uploadBytes(victim.client, both)
  await uploadBytes(node.client, both, { side: 'node' })
  const cids = all.map((bytes) => contentAddress(bytes, 'raw'))
  expect(new Set(cids).size).toBe(ROWS)
  const results = request.results.map((result, i) => put(result, { cid: cids[i] as string }))
  const { outcomes } = await node.client.results({ body: { ...request, results } })
  await attacker.client.cancelJob({ params: { id }, body: {} })
  return { outcomes, cids }
}

const byOutput = (result: SegmentResult, output: ValueRef): SegmentResult => ({ ...result, output })
function byProof(result: SegmentResult, proof: ValueRef): SegmentResult {
  if (result.sampling === undefined) throw new Error('expected a result with a proof')
  return { ...result, sampling: { ...result.sampling, proof } }
}

// With proofs of 30 bits: of the few bits that are usual, two of the four would be the same blob now and then.
const SAMPLED: JobSpecInput = {
  ...SPEC,
  validation: { sampling: { fakedShare: 0.5, falsePositiveRate: 1e-9 } },
}

test.each([
  ['an output', SPEC, ({ output }: SegmentResult) => output, byOutput],
  ['a proof', SAMPLED, ({ sampling }: SegmentResult) => sampling?.proof ?? { inline: '' }, byProof],
])('%s: what somebody else uploaded is refused as what nobody did', async (_, spec, change, put) => {
  const { outcomes, cids } = await outcomesOf(spec, change, put)
  const [foreign, missing, own, both] = outcomes
  for (const [i, outcome] of [foreign, missing].entries()) {
    expect(outcome).toMatchObject({
      state: 'refused',
      code: 'result/output',
      message: `${cids[i]} was not uploaded`,
    })
  }
  for (const outcome of [own, both]) {
    expect(outcome).toMatchObject({ code: null })
    expect(outcome?.state).not.toBe('refused')
  }
  const secret = cids[0] as string
  await expect(attacker.client.readBlob({ params: { cid: secret } })).rejects.toMatchObject({
    code: 'wire/not-found',
  })
})
