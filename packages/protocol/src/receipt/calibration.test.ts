import { describe, expect, it } from 'vitest'
import { equalBytes } from '../core/bytes.ts'
import { contentAddress } from '../core/cid.ts'
import { ed25519KeyPair, nodeId } from '../core/keys.ts'
import type { CalibrationProfile } from '../method/trace/calibration/profile.ts'
import { signProfile, verifyProfile } from './calibration.ts'

const configuration = { name: 'native', runtime: 'native', version: '1.2.3', machine: 'a processor' }
const profile: CalibrationProfile = {
  model: contentAddress(Uint8Array.of(1), 'raw'),
  dtype: 'float32',
  verifier: { ...configuration, name: 'wasm', runtime: 'wasm' },
  provers: [configuration],
  alpha: 0.01,
  samples: 99,
  safety: 2,
  date: '2026-01-31',
  layers: [
    { name: 'h', threshold: 0.001, floor: 1 },
    { name: 'relu', threshold: 0, floor: 0.5 },
  ],
  outputs: [{ name: 'y', threshold: 0.01, floor: 0 }],
}

describe('a signed profile', () => {
  const key = ed25519KeyPair(new Uint8Array(32).fill(7))
  const signer = nodeId(key.publicKey)

  it('verifies under its signer and says who that is', async () => {
    const envelope = JSON.parse(JSON.stringify(await signProfile(profile, key)))
    const verdict = await verifyProfile(envelope, { signer })
    expect(verdict).toEqual({ ok: true, value: { profile, signer } })
    expect(await verifyProfile(envelope, { signer: '0'.repeat(64) })).toMatchObject({
      code: 'receipt/signer',
    })
  })

  it('is refused with any bit of payload, signature or key changed', async () => {
    const envelope = await signProfile(profile, key)
    const codes = new Set<string>()
    const check = async (changed: unknown) => {
      const verdict = await verifyProfile(changed)
      expect(verdict.ok).toBe(false)
      if (!verdict.ok) codes.add(verdict.code)
    }
    const bytes = Buffer.from(envelope.payload, 'base64')
    for (let bit = 0; bit < bytes.length * 8; bit += 37) {
      const altered = Buffer.from(bytes)
      altered[bit >> 3] = (altered[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(equalBytes(altered, bytes)).toBe(false)
      await check({ ...envelope, payload: altered.toString('base64') })
    }
    const [signature] = envelope.signatures
    await check({ ...envelope, payload: bytes.subarray(0, -1).toString('base64') })
    await check({ ...envelope, payloadType: 'application/vnd.in-toto+json' })
    await check({ ...envelope, signatures: [] })
    await check({ ...envelope, signatures: [{ ...signature, keyid: '0'.repeat(64) }] })
    const other = ed25519KeyPair(new Uint8Array(32).fill(8)).publicKey
    const publicKey = { type: other.type, bytes: Buffer.from(other.bytes).toString('hex') }
    await check({ ...envelope, signatures: [{ ...signature, publicKey }] })
    await check({ ...envelope, signatures: [{ ...signature, publicKey, keyid: nodeId(other) }] })
    await check(null)
    expect([...codes].sort()).toEqual(['receipt/malformed', 'receipt/signature'])
  })
})
