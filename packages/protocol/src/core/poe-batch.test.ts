import { createHash, createPublicKey, verify as verifyNatively } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, fromHex, toHex, u64be, utf8 } from './bytes.ts'
import { type Digest, sha256, tagBlock } from './digest.ts'
import { ed25519KeyPair, generateKey, type KeyPair, nodeId, verifySignature } from './keys.ts'
import { merkleRoot } from './merkle.ts'
import { commitExecution, type ExecutionFields } from './poe.ts'
import {
  type BatchedExecution,
  batchedExecutionFromJson,
  batchedExecutionToJson,
  batchPaths,
  commitExecutions,
  type ExecutionBatch,
  executionFromBatch,
  executionsFromBatch,
  MAX_BATCH_EXECUTIONS,
  rememberSignatures,
  signExecutionBatch,
  verifyBatchCommitments,
  verifyBatchedExecution,
  verifyExecutionBatch,
} from './poe-batch.ts'
import { codeOf } from './testing/code-of.ts'
import { badProofs, flipBit } from './testing/merkle-vectors.ts'

const key = ed25519KeyPair(new Uint8Array(32).fill(5))
const other = ed25519KeyPair(new Uint8Array(32).fill(6))

function fieldsOf(i: number, owner: KeyPair = key): ExecutionFields {
  return {
    requestId: utf8(`job/${i}`),
    taskDigest: sha256(utf8('task')),
    inputDigest: sha256(utf8(`input ${i}`)),
    resultDigest: sha256(utf8(`result ${i}`)),
    nodeId: nodeId(owner.publicKey),
    nonce: sha256(utf8(`nonce ${i}`)),
  }
}

const many = (count: number, owner?: KeyPair) => Array.from({ length: count }, (_, i) => fieldsOf(i, owner))

async function batchOf(count: number, owner: KeyPair = key): Promise<ExecutionBatch> {
  const fields = many(count, owner)
  const { publicKey, signature } = await signExecutionBatch(fields, owner)
  return { fields, publicKey, signature }
}

const FIELDS = ['requestId', 'taskDigest', 'inputDigest', 'resultDigest', 'nonce'] as const

interface Vector {
  readonly count: number
  readonly fields: { readonly [name: string]: string }[]
  readonly commitments: string[]
  readonly root: string
  readonly signature: string
  readonly executions: unknown[]
}

const vectors: { readonly publicKey: string; readonly secretKey: string; readonly cases: Vector[] } =
  JSON.parse(readFileSync(new URL('../../../../vectors/poe-batch.json', import.meta.url), 'utf8'))

describe('vectors', () => {
  const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
  const tagged = (tag: string, ...fields: Uint8Array[]) => {
    const opening = hash(utf8(tag))
    return hash(opening, opening, ...fields.flatMap((field) => [u64be(field.length), field]))
  }
  /** RFC 9162, section 2.1.1. */
  const rootOf = (leaves: Buffer[]): Buffer => {
    if (leaves.length === 1) return hash(Uint8Array.of(0), leaves[0] as Buffer)
    const split = leaves.length === 3 ? 2 : 1
    return hash(Uint8Array.of(1), rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)))
  }

  it.each(vectors.cases)('of $count executions, computed apart', ({ count, fields, ...vector }) => {
    const names = ['requestId', 'taskDigest', 'inputDigest', 'resultDigest', 'nodeId', 'nonce']
    const commitments = fields.map((one) =>
      tagged('assay/poe/v2', ...names.map((name) => fromHex(one[name] as string))),
    )
    expect(commitments.map(toHex)).toEqual(vector.commitments)
    expect(toHex(rootOf(commitments))).toBe(vector.root)
    const signed = tagged('assay/poe-batch/v1', Uint8Array.of(0, 0, 0, count), fromHex(vector.root))
    const der = Buffer.concat([fromHex('302a300506032b6570032100'), fromHex(vectors.publicKey)])
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' })
    expect(verifyNatively(null, signed, publicKey, fromHex(vector.signature))).toBe(true)
  })

  it.each(vectors.cases)('of $count executions verify, and are made here', async (vector) => {
    const owner = ed25519KeyPair(fromHex(vectors.secretKey))
    const executions = vector.executions.map(batchedExecutionFromJson)
    const batch = await signExecutionBatch(
      executions.map(({ fields }) => fields),
      owner,
    )
    expect([toHex(batch.root), toHex(batch.signature)]).toEqual([vector.root, vector.signature])
    for (const [i, execution] of executions.entries()) {
      expect(await verifyBatchedExecution(execution)).toMatchObject({ ok: true })
      expect(batchedExecutionToJson(execution)).toEqual(vector.executions[i])
    }
  })
})

describe('commitments in bulk', () => {
  it('property: equal those one by one', () => {
    const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const fields = fc.record({
      requestId: fc.uint8Array({ minLength: 1, maxLength: 128 }),
      taskDigest: bytes32,
      inputDigest: bytes32,
      resultDigest: bytes32,
      nodeId: bytes32.map(toHex),
      nonce: bytes32,
    })
    fc.assert(
      fc.property(fc.array(fields, { maxLength: 9 }), (list) => {
        const executions = list as never as ExecutionFields[]
        expect(commitExecutions(executions)).toEqual(executions.map(commitExecution))
      }),
    )
  })

  it('name the execution that is malformed', () => {
    const wrong = [...many(3), { ...fieldsOf(3), nonce: new Uint8Array(31) }]
    expect(codeOf(() => commitExecutions(wrong))).toMatchObject({
      code: 'poe/malformed',
      message: expect.stringContaining('execution 3'),
    })
  })
})

describe('a batch', () => {
  it('is signed over what the description says, computed apart', async () => {
    const fields = many(5)
    const { signature, root, count, publicKey } = await signExecutionBatch(fields, key)
    expect(root).toEqual(merkleRoot(fields.map(commitExecution)))
    expect(count).toBe(5)
    const message = createHash('sha256')
      .update(tagBlock('assay/poe-batch/v1'))
      .update(concatBytes(u64be(4), fromHex('00000005'), u64be(32), root))
      .digest()
    expect(await verifySignature(publicKey, message, signature)).toEqual({ ok: true, value: true })
  })

  it.each([1, 2, 3, 7, 64, MAX_BATCH_EXECUTIONS])('of %i verifies, and gives the commitments', async (n) => {
    const batch = await batchOf(n)
    const verdict = await verifyExecutionBatch(batch)
    const commitments = batch.fields.map(commitExecution)
    expect(verdict).toEqual({ ok: true, value: { commitments, nodeId: nodeId(key.publicKey) } })
  })

  it('verifies with RSA keys', async () => {
    const batch = await batchOf(3, await generateKey('rsa-pss-3072'))
    expect((await verifyExecutionBatch(batch)).ok).toBe(true)
    expect((await verifyBatchedExecution(executionFromBatch(batch, 1))).ok).toBe(true)
  })

  it('asks the signature check that it was given, once', async () => {
    const batch = await batchOf(9)
    let calls = 0
    const verify: typeof verifySignature = (...args) => {
      calls += 1
      return verifySignature(...args)
    }
    expect((await verifyExecutionBatch(batch, { verify })).ok).toBe(true)
    expect(calls).toBe(1)
  })

  it('is refused with any field of any execution changed, and in another order, shortened or extended', async () => {
    const batch = await batchOf(4)
    const refused = async (fields: ExecutionFields[]) =>
      expect(await verifyExecutionBatch({ ...batch, fields })).toMatchObject({ code: 'signature/invalid' })
    for (let i = 0; i < 4; i++) {
      for (const name of FIELDS) {
        const fields = [...batch.fields]
        fields[i] = { ...fields[i]!, [name]: flipBit(fields[i]![name], 11) }
        await refused(fields)
      }
    }
    const [a, b, c, d] = batch.fields as [ExecutionFields, ExecutionFields, ExecutionFields, ExecutionFields]
    await refused([b, a, c, d])
    await refused([a, b, c])
    await refused([a, b, c, d, d])
    await refused([a])
  })

  it('is refused with any byte of the signature changed', async () => {
    const batch = await batchOf(2)
    for (let bit = 0; bit < 8 * batch.signature.length; bit += 37) {
      const signature = flipBit(batch.signature, bit)
      expect(await verifyExecutionBatch({ ...batch, signature })).toMatchObject({ code: 'signature/invalid' })
    }
  })

  it("is refused where an execution is another node's, by whomever it is signed", async () => {
    const batch = await batchOf(3)
    const mixed = [batch.fields[0]!, fieldsOf(1, other), batch.fields[2]!]
    expect(await verifyExecutionBatch({ ...batch, fields: mixed })).toMatchObject({ code: 'poe/mismatch' })
    const stolen = { ...batch, publicKey: other.publicKey }
    expect(await verifyExecutionBatch(stolen)).toMatchObject({ code: 'poe/mismatch' })
    await expect(signExecutionBatch(mixed, key)).rejects.toMatchObject({ code: 'poe/mismatch' })
  })

  it('is refused empty, and beyond the cap', async () => {
    const malformed = { code: 'poe/malformed' }
    await expect(signExecutionBatch([], key)).rejects.toMatchObject(malformed)
    await expect(signExecutionBatch(many(MAX_BATCH_EXECUTIONS + 1), key)).rejects.toMatchObject(malformed)
    const batch = await batchOf(1)
    for (const fields of [[], many(MAX_BATCH_EXECUTIONS + 1), null, 'x', { length: 1 }]) {
      const verdict = await verifyExecutionBatch({ ...batch, fields } as never)
      expect(verdict).toMatchObject({ ok: false, ...malformed })
    }
  })

  it('property: any value gets a verdict', async () => {
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (value) => {
        expect(await verifyExecutionBatch(value as never)).toMatchObject({ code: 'poe/malformed' })
        expect(await verifyBatchedExecution(value as never)).toMatchObject({ code: 'poe/malformed' })
      }),
    )
  })
})

describe('one execution of a batch', () => {
  it('verifies at every index of every size', async () => {
    for (let size = 1; size <= 17; size++) {
      const batch = await batchOf(size)
      const verify = rememberSignatures()
      const all = executionsFromBatch(batch, [...batch.fields.keys()])
      for (const [index, batched] of all.entries()) {
        expect(batched).toEqual(executionFromBatch(batch, index))
        const expected = { requestId: utf8(`job/${index}`), nonce: fieldsOf(index).nonce }
        expect(await verifyBatchedExecution(batched, { verify, expected })).toEqual({
          ok: true,
          value: { commitment: commitExecution(batch.fields[index]!), nodeId: nodeId(key.publicKey) },
        })
      }
    }
  })

  it('is opened from the commitments alone, too', async () => {
    const batch = await batchOf(11)
    const commitments = concatBytes(...batch.fields.map(commitExecution))
    const paths = executionsFromBatch(batch, [0, 7, 10]).map(({ path }) => path)
    expect(batchPaths(commitments, [0, 7, 10])).toEqual(paths)
    expect(codeOf(() => batchPaths(commitments, [11])).code).toBe('merkle/out-of-range')
  })

  it('checks one signature for executions of one batch when told to remember', async () => {
    const batch = await batchOf(20)
    let calls = 0
    const verify = rememberSignatures((...args) => {
      calls += 1
      return verifySignature(...args)
    })
    for (const batched of executionsFromBatch(batch, [0, 3, 19])) {
      expect((await verifyBatchedExecution(batched, { verify })).ok).toBe(true)
    }
    const [first] = executionsFromBatch(batch, [0]) as [BatchedExecution]
    const forged = { ...first, signature: flipBit(first.signature, 1) }
    expect(await verifyBatchedExecution(forged, { verify })).toMatchObject({ code: 'signature/invalid' })
    expect(calls).toBe(2)
  })

  it('is refused after any change', async () => {
    const batched = executionFromBatch(await batchOf(6), 4)
    const codes = new Set<string>()
    const refused = async (change: object) => {
      const verdict = await verifyBatchedExecution({ ...batched, ...change } as BatchedExecution)
      expect(verdict.ok).toBe(false)
      if (!verdict.ok) codes.add(verdict.code)
    }
    for (const name of FIELDS) {
      await refused({ fields: { ...batched.fields, [name]: flipBit(batched.fields[name], 9) } })
    }
    await refused({ fields: { ...batched.fields, nodeId: nodeId(other.publicKey) } })
    await refused({ publicKey: other.publicKey })
    await refused({ publicKey: { type: 'ed25519', bytes: new Uint8Array(31) } })
    for (const bit of [0, 77, 300]) await refused({ signature: flipBit(batched.signature, bit) })
    for (const count of [0, 1, 4, 5, 7, 8, 1025, -1, 1.5, '6']) await refused({ count })
    for (const index of [0, 1, 2, 3, 5, 6, -1, 0.5, null]) await refused({ index })
    for (let i = 0; i < batched.path.length; i++) {
      await refused({ path: batched.path.map((node, j) => (i === j ? flipBit(node, 100) : node)) })
    }
    for (const path of badProofs(batched.path, 1)) await refused({ path })
    await refused({ extra: 1 })
    expect([...codes].sort()).toEqual([
      'key/malformed',
      'merkle/malformed',
      'merkle/out-of-range',
      'poe/malformed',
      'poe/mismatch',
      'signature/invalid',
    ])
  })

  it('names the field that is not the one expected', async () => {
    const batched = executionFromBatch(await batchOf(2), 1)
    for (const field of FIELDS) {
      const expected = { [field]: flipBit(batched.fields[field], 0) }
      expect(await verifyBatchedExecution(batched, { expected })).toMatchObject({
        code: 'poe/mismatch',
        detail: { field },
      })
    }
  })

  it('does not pass for a batch of one whose commitment is the root', async () => {
    const { root, signature, publicKey } = await signExecutionBatch(many(2), key)
    const fields = { ...fieldsOf(0), resultDigest: root as Digest }
    const verdict = await verifyExecutionBatch({ fields: [fields], publicKey, signature })
    expect(verdict).toMatchObject({ code: 'signature/invalid' })
  })

  it('is not there outside of the batch', async () => {
    const batch = await batchOf(3)
    for (const index of [-1, 3, 0.5]) {
      expect(codeOf(() => executionFromBatch(batch, index)).code).toBe('merkle/out-of-range')
    }
  })
})

describe('commitments without their fields', () => {
  it('are verified by the same signature', async () => {
    for (const count of [1, 2, 7, MAX_BATCH_EXECUTIONS]) {
      const { fields, publicKey, signature } = await batchOf(count)
      const commitments = concatBytes(...commitExecutions(fields))
      const check = (parts: Partial<Parameters<typeof verifyBatchCommitments>[0]>) =>
        verifyBatchCommitments({ commitments, publicKey, signature, ...parts })
      expect(await check({})).toEqual({ ok: true, value: true })
      for (const wrong of [
        { commitments: flipBit(commitments, 13) },
        { commitments: commitments.subarray(32) },
        { commitments: commitments.subarray(1) },
        { commitments: new Uint8Array(32 * (MAX_BATCH_EXECUTIONS + 1)) },
        { publicKey: other.publicKey },
        { signature: flipBit(signature, 3) },
        { signature: signature.subarray(1) },
      ]) {
        expect((await check(wrong)).ok).toBe(false)
      }
    }
  })
})

describe('as JSON', () => {
  it('comes back as it was', async () => {
    for (const owner of [key, await generateKey('rsa-pss-3072')]) {
      const batched = executionFromBatch(await batchOf(5, owner), 2)
      const json = JSON.parse(JSON.stringify(batchedExecutionToJson(batched)))
      expect(batchedExecutionFromJson(json)).toEqual(batched)
    }
  })

  it('is refused in any other form', async () => {
    const good = batchedExecutionToJson(executionFromBatch(await batchOf(5), 2))
    const wrong: unknown[] = [
      null,
      'text',
      { ...good, poe: 'v2' },
      { ...good, extra: 1 },
      { ...good, count: 0 },
      { ...good, count: '5' },
      { ...good, index: 1.5 },
      { ...good, path: [...good.path, 'zz'] },
      { ...good, path: good.path.map((node) => node.slice(2)) },
      { ...good, path: good.path.map((node) => node.toUpperCase().replace(/[0-9]/g, 'A')) },
      { ...good, path: new Array(11).fill(good.path[0]) },
      { ...good, signature: good.signature.slice(1) },
      { ...good, fields: { ...good.fields, nonce: good.fields.nonce.slice(2) } },
      { ...good, fields: { ...good.fields, nodeId: 'x' } },
      { ...good, fields: { ...good.fields, requestId: '' } },
    ]
    for (const value of wrong) {
      expect(codeOf(() => batchedExecutionFromJson(value)).code).toBe('poe/malformed')
    }
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(codeOf(() => batchedExecutionFromJson(value)).code).toBe('poe/malformed')
      }),
    )
  })
})
