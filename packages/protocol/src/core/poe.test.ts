import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex, toHex, utf8 } from './bytes.ts'
import { type Digest, sha256 } from './digest.ts'
import { generateKey, KEY_TYPES, type KeyPair, type KeyType, type NodeId, nodeId } from './keys.ts'
import {
  commitExecution,
  type ExecutionFields,
  executionFromJson,
  executionObject,
  executionToJson,
  type SignedExecution,
  signExecution,
  verifyExecution,
} from './poe.ts'

const fields: ExecutionFields = {
  requestId: utf8('req_a3f1'),
  taskDigest: sha256(utf8('task')),
  inputDigest: sha256(utf8('input')),
  resultDigest: sha256(utf8('result')),
  nodeId: '11'.repeat(32) as NodeId,
  nonce: new Uint8Array(32).fill(7),
}
const keys = {} as Record<KeyType, KeyPair>
const signed = {} as Record<KeyType, SignedExecution>

beforeAll(async () => {
  for (const type of KEY_TYPES) {
    keys[type] = await generateKey(type)
    signed[type] = await signExecution({ ...fields, nodeId: nodeId(keys[type].publicKey) }, keys[type])
  }
})

const malformed = expect.objectContaining({ code: 'poe/malformed' })
const mismatch = expect.objectContaining({ ok: false, code: 'poe/mismatch' })

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice()
  flipped[bit >> 3]! ^= 1 << (bit & 7)
  return flipped
}

describe('commitExecution', () => {
  it('is what the description says, computed apart', () => {
    const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
    const u64 = (length: number) => {
      const bytes = Buffer.alloc(8)
      bytes.writeBigUInt64BE(BigInt(length))
      return bytes
    }
    const tag = hash(utf8('assay/poe/v2'))
    const { requestId, taskDigest, inputDigest, resultDigest, nonce } = fields
    const parts = [requestId, taskDigest, inputDigest, resultDigest, fromHex(fields.nodeId), nonce]
    const expected = hash(tag, tag, ...parts.flatMap((part) => [u64(part.length), part]))
    expect(toHex(commitExecution(fields))).toBe(expected.toString('hex'))
  })

  it('changes with every bit of every field', () => {
    const seen = new Set([toHex(commitExecution(fields))])
    let variants = 1
    for (const name of ['requestId', 'taskDigest', 'inputDigest', 'resultDigest', 'nonce'] as const) {
      for (let bit = 0; bit < 8 * fields[name].length; bit++, variants++) {
        seen.add(toHex(commitExecution({ ...fields, [name]: flip(fields[name], bit) })))
      }
    }
    expect(seen.size).toBe(variants)
  })

  it('refuses fields of another shape', () => {
    const wrong: { [name: string]: unknown }[] = [
      { requestId: new Uint8Array() },
      { requestId: new Uint8Array(129) },
      { requestId: 'req' },
      { taskDigest: new Uint8Array(31) },
      { inputDigest: new Uint8Array(33) },
      { resultDigest: undefined },
      { nodeId: '11'.repeat(31) },
      { nodeId: 'AB'.repeat(32) },
      { nodeId: new Uint8Array(32) },
      { nonce: new Uint8Array(16) },
    ]
    for (const change of wrong) {
      expect(() => commitExecution({ ...fields, ...change } as ExecutionFields)).toThrow(malformed)
    }
  })
})

describe.each(KEY_TYPES)('signed with %s', (type) => {
  it('verifies, and gives the commitment', async () => {
    const verdict = await verifyExecution(signed[type], { requestId: fields.requestId, nonce: fields.nonce })
    const commitment = commitExecution(signed[type].fields)
    expect(verdict).toEqual({ ok: true, value: { commitment, nodeId: nodeId(keys[type].publicKey) } })
  })

  it('names the field that is not the one expected', async () => {
    for (const field of ['requestId', 'taskDigest', 'inputDigest', 'resultDigest', 'nonce'] as const) {
      const expected = { [field]: flip(fields[field], 0) }
      expect(await verifyExecution(signed[type], expected)).toMatchObject({
        code: 'poe/mismatch',
        detail: { field },
      })
    }
    expect(await verifyExecution(signed[type], { nodeId: fields.nodeId })).toEqual(mismatch)
  })

  it('refuses any other fields under the signature', async () => {
    for (const field of ['requestId', 'taskDigest', 'inputDigest', 'resultDigest', 'nonce'] as const) {
      const altered = { ...signed[type].fields, [field]: flip(signed[type].fields[field], 3) }
      const verdict = await verifyExecution({ ...signed[type], fields: altered })
      expect(verdict).toMatchObject({ ok: false, code: 'signature/invalid' })
    }
    const other = await generateKey(type)
    const stolen = { ...signed[type], publicKey: other.publicKey }
    expect(await verifyExecution(stolen)).toEqual(mismatch)
    const renamed = { ...stolen, fields: { ...signed[type].fields, nodeId: nodeId(other.publicKey) } }
    expect(await verifyExecution(renamed)).toMatchObject({ ok: false, code: 'signature/invalid' })
  })

  it('comes back from JSON and from DAG-CBOR', () => {
    const json = JSON.parse(JSON.stringify(executionToJson(signed[type])))
    expect(executionFromJson(json)).toEqual(signed[type])
    expect(executionObject.decode(executionObject.encode(signed[type]))).toEqual(signed[type])
  })

  it('is refused when its encoding is altered anywhere', async () => {
    const encoded = executionObject.encode(signed[type])
    const step = type === 'ed25519' ? 7 : 61
    for (let bit = 0; bit < 8 * encoded.length; bit += step) {
      let decoded: SignedExecution
      try {
        decoded = executionObject.decode(flip(encoded, bit))
      } catch (error) {
        expect(error, `bit ${bit}`).toMatchObject({ code: expect.stringMatching(/^codec\//) })
        continue
      }
      expect((await verifyExecution(decoded)).ok, `bit ${bit}`).toBe(false)
    }
    for (const wrong of [encoded.subarray(0, -1), encoded.subarray(1), new Uint8Array([...encoded, 0])]) {
      expect(() => executionObject.decode(wrong)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^codec\//) }),
      )
    }
  })
})

describe('hostile values', () => {
  it('are rejected, not thrown', async () => {
    const good = signed.ed25519
    const wrong: unknown[] = [
      null,
      undefined,
      7,
      [],
      {},
      { ...good, extra: 1 },
      { ...good, fields: null },
      { ...good, fields: { ...good.fields, extra: 1 } },
      { ...good, fields: { ...good.fields, nonce: new Uint8Array(1e6) } },
      { ...good, publicKey: null },
      { ...good, publicKey: { ...good.publicKey, type: 'none' } },
      { ...good, signature: 'text' },
    ]
    for (const value of wrong) {
      expect(await verifyExecution(value as SignedExecution)).toEqual(
        expect.objectContaining({ ok: false, code: 'poe/malformed' }),
      )
    }
    const short = { ...good, publicKey: { ...good.publicKey, bytes: new Uint8Array(31) } }
    expect(await verifyExecution(short)).toMatchObject({ ok: false, code: 'key/malformed' })
    const unsigned = { ...good, signature: new Uint8Array() }
    expect(await verifyExecution(unsigned)).toMatchObject({ ok: false, code: 'signature/invalid' })
  })

  it('in JSON are refused', () => {
    const good = executionToJson(signed.ed25519)
    const wrong: unknown[] = [
      null,
      'text',
      { ...good, poe: 'v1' },
      { ...good, extra: 1 },
      { ...good, signature: good.signature.slice(0, -1) },
      { ...good, signature: 'A'.repeat(5000) },
      { ...good, fields: { ...good.fields, nonce: good.fields.nonce.slice(2) } },
      { ...good, fields: { ...good.fields, nonce: good.fields.nonce.toUpperCase().replace(/[0-9]/g, 'A') } },
      { ...good, fields: { ...good.fields, nodeId: 'x' } },
      { ...good, publicKey: { type: 'ed25519' } },
    ]
    for (const value of wrong) expect(() => executionFromJson(value)).toThrow(malformed)
  })

  it('any JSON is refused with the one code', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() => executionFromJson(value)).toThrow(malformed)
      }),
    )
  })

  it("another's key does not sign for a node", async () => {
    await expect(signExecution(fields, keys.ed25519)).rejects.toMatchObject({ code: 'poe/mismatch' })
  })
})

describe('unambiguous', () => {
  it('two splits of the same bytes are two commitments', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 3, maxLength: 60 }), fc.nat(), (bytes, at) => {
        const cut = 1 + (at % (bytes.length - 2))
        const commit = (requestId: Uint8Array, result: Uint8Array) =>
          toHex(commitExecution({ ...fields, requestId, resultDigest: sha256(result) as Digest }))
        const first = commit(bytes.subarray(0, cut), bytes.subarray(cut))
        const second = commit(bytes.subarray(0, cut + 1), bytes.subarray(cut + 1))
        expect(first).not.toBe(second)
      }),
    )
  })
})
