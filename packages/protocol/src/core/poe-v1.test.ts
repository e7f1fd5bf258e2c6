import { constants, createHash, createPublicKey, verify as nodeVerify } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { concatBytes, toHex, utf8 } from './bytes.ts'
import { type Digest, sha256 } from './digest.ts'
import { generateKey, type KeyPair, nodeIdV1 } from './keys.ts'
import { commitExecution } from './poe.ts'
import {
  commitExecutionV1,
  MAX_RESULT_BYTES,
  type SignedExecutionV1,
  signExecutionV1,
  verifyExecutionV1,
} from './poe-v1.ts'

const requestId = new Uint8Array(32).fill(5)
const result = utf8('{"text":"hello"}')
const nodeIdBytes = sha256(utf8('key'))
let key: KeyPair
let returned: SignedExecutionV1

beforeAll(async () => {
  key = await generateKey('rsa-pss-3072')
  returned = await signExecutionV1({ requestId, result, key })
})

const malformed = expect.objectContaining({ code: 'poe/malformed' })
const options = () => ({ publicKey: key.publicKey, requestId })

describe('the published commitment', () => {
  it('is SHA-256 over request id, result and node id', () => {
    const expected = createHash('sha256').update(requestId).update(result).update(nodeIdBytes).digest('hex')
    expect(toHex(commitExecutionV1({ requestId, result, nodeId: nodeIdBytes }))).toBe(expected)
  })

  it('is pinned for the request id of the publication', () => {
    const id = utf8('req_a3f1')
    const poe = commitExecutionV1(
      { requestId: id, result, nodeId: nodeIdBytes },
      { requestIdBytes: id.length },
    )
    expect(toHex(poe)).toBe('d50a6b40c38ecbbba22326a85eb0e75938609311134229940b28c5020730198d')
  })

  it('signs result and commitment, so that others can check it', () => {
    const spki = createPublicKey({ key: Buffer.from(key.publicKey.bytes), format: 'der', type: 'spki' })
    const pss = { key: spki, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    const signed = concatBytes(returned.result, returned.poe)
    expect(nodeVerify('sha256', signed, pss, returned.signature)).toBe(true)
  })
})

describe('the ambiguity of v1', () => {
  it('ids of any length: two different answers, one commitment, one the other relabelled', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 40 }), fc.nat(), (joined, at) => {
        const cut = 1 + (at % (joined.length - 1))
        const commit = (length: number) =>
          toHex(
            commitExecutionV1(
              { requestId: joined.subarray(0, length), result: joined.subarray(length), nodeId: nodeIdBytes },
              { requestIdBytes: length },
            ),
          )
        expect(commit(cut)).toBe(commit(joined.length))
      }),
    )
  })

  it('ab ‖ c is a ‖ bc in v1; v2 tells them apart', () => {
    const nodeId = nodeIdBytes
    const first = { requestId: utf8('ab'), result: utf8('c') }
    const second = { requestId: utf8('a'), result: utf8('bc') }
    expect(toHex(commitExecutionV1({ ...first, nodeId }, { requestIdBytes: 2 }))).toBe(
      toHex(commitExecutionV1({ ...second, nodeId }, { requestIdBytes: 1 })),
    )
    const v2 = ({ requestId, result }: typeof first) =>
      toHex(
        commitExecution({
          requestId,
          resultDigest: sha256(result),
          taskDigest: nodeId,
          inputDigest: nodeId,
          nodeId: toHex(nodeId) as never,
          nonce: new Uint8Array(32),
        }),
      )
    expect(v2(first)).not.toBe(v2(second))
  })

  it('one length for all ids closes it', () => {
    for (const length of [0, 1, 31, 33]) {
      const id = new Uint8Array(length)
      expect(() => commitExecutionV1({ requestId: id, result, nodeId: nodeIdBytes })).toThrow(malformed)
    }
  })
})

describe('verifyExecutionV1', () => {
  it('accepts what the node signed', async () => {
    expect(await verifyExecutionV1(returned, options())).toEqual({
      ok: true,
      value: { commitment: returned.poe, nodeId: nodeIdV1(key.publicKey) },
    })
  })

  it('rejects another request, node, result, commitment or signature', async () => {
    const changes: [keyof SignedExecutionV1, string][] = [
      ['requestId', 'poe/mismatch'],
      ['nodeId', 'poe/mismatch'],
      ['result', 'poe/mismatch'],
      ['poe', 'poe/mismatch'],
      ['signature', 'signature/invalid'],
    ]
    for (const [name, code] of changes) {
      for (let bit = 0; bit < 8 * returned[name].length; bit += 29) {
        const flipped = returned[name].slice()
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        expect(await verifyExecutionV1({ ...returned, [name]: flipped }, options())).toMatchObject({
          ok: false,
          code,
        })
      }
    }
  })

  it('rejects an answer to another request, even a well signed one', async () => {
    const other = await signExecutionV1({ requestId: new Uint8Array(32), result, key })
    expect(await verifyExecutionV1(other, options())).toMatchObject({ ok: false, code: 'poe/mismatch' })
  })

  it('rejects other shapes', async () => {
    const wrong: unknown[] = [
      null,
      {},
      { ...returned, poe: 'text' },
      { ...returned, poe: new Uint8Array(31) },
      { ...returned, requestId: new Uint8Array(33) },
      { ...returned, result: undefined },
      { ...returned, result: new Uint8Array(MAX_RESULT_BYTES + 1) },
      { ...returned, nodeId: new Uint8Array(20) as Digest },
    ]
    for (const value of wrong) {
      expect(await verifyExecutionV1(value as SignedExecutionV1, options())).toEqual(malformed)
    }
    const unsigned = { ...returned, signature: returned.signature.subarray(1) }
    expect(await verifyExecutionV1(unsigned, options())).toMatchObject({
      ok: false,
      code: 'signature/invalid',
    })
  })

  it('knows RSA keys only', async () => {
    const ed25519 = await generateKey('ed25519')
    await expect(signExecutionV1({ requestId, result, key: ed25519 })).rejects.toMatchObject({
      code: 'key/malformed',
    })
  })
})
