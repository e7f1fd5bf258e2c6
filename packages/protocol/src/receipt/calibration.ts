/**
 * Calibration profiles as signed files: the profile in a DSSE envelope, with the key of who measured.
 *
 * Threat: whoever can widen a threshold lets cheats pass. The payload is read after its signature holds, and
 * the reader says whose profile it wants.
 */
import * as z from 'zod/mini'
import { fromBase64, fromHex, toBase64, toHex } from '../core/bytes.ts'
import { parseWith } from '../core/codec.ts'
import { attempt, reject, type Verdict } from '../core/errors.ts'
import { KEY_TYPES, type KeyPair, nodeId, type PublicKey, sign, verifySignature } from '../core/keys.ts'
import {
  type CalibrationProfile,
  MAX_PROFILE_BYTES,
  profileObject,
} from '../method/trace/calibration/profile.ts'
import { preAuthEncoding } from './envelope.ts'

/** The payload is the profile in canonical DAG-CBOR. */
export const PROFILE_PAYLOAD_TYPE = 'application/vnd.assay.calibration-profile+cbor'

const envelope = z.strictObject({
  payload: z.string().check(z.maxLength(Math.ceil(MAX_PROFILE_BYTES / 3) * 4)),
  payloadType: z.literal(PROFILE_PAYLOAD_TYPE),
  signatures: z.tuple([
    z.strictObject({
      keyid: z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits')),
      sig: z.string().check(z.maxLength(1024)),
      // DSSE lets signatures carry more; a key id alone does not verify anything.
      publicKey: z.strictObject({ type: z.enum(KEY_TYPES), bytes: z.string().check(z.maxLength(1024)) }),
    }),
  ]),
})

export type ProfileEnvelope = z.infer<typeof envelope>

export async function signProfile(profile: CalibrationProfile, key: KeyPair): Promise<ProfileEnvelope> {
  const payload = profileObject.encode(profile)
  const signature = await sign(key, preAuthEncoding(PROFILE_PAYLOAD_TYPE, payload))
  const { type, bytes } = key.publicKey
  return {
    payload: toBase64(payload),
    payloadType: PROFILE_PAYLOAD_TYPE,
    signatures: [
      { keyid: nodeId(key.publicKey), sig: toBase64(signature), publicKey: { type, bytes: toHex(bytes) } },
    ],
  }
}

/** The profile, with the node id of its signer; `signer` demands whose it must be. */
export async function verifyProfile(
  value: unknown,
  options: { readonly signer?: string } = {},
): Promise<Verdict<{ readonly profile: CalibrationProfile; readonly signer: string }>> {
  const read = attempt(() => {
    const { payload, signatures } = parseWith(envelope, value, 'calibration profile')
    const [{ keyid, sig, publicKey }] = signatures
    const key: PublicKey = { type: publicKey.type, bytes: fromHex(publicKey.bytes) }
    return { payload: fromBase64(payload), signature: fromBase64(sig), key, keyid, owner: nodeId(key) }
  })
  if (!read.ok)
    return reject('receipt/malformed', `not a calibration profile: ${read.message}`, { cause: read.code })
  const { payload, signature, key, keyid, owner } = read.value
  const signed = await verifySignature(key, preAuthEncoding(PROFILE_PAYLOAD_TYPE, payload), signature)
  if (!signed.ok || keyid !== owner) {
    return reject('receipt/signature', 'the signature of the calibration profile does not hold')
  }
  if (options.signer !== undefined && options.signer !== owner) {
    return reject(
      'receipt/signer',
      `expected a profile of node ${options.signer}, got one of node ${owner}`,
      {
        expected: options.signer,
        found: owner,
      },
    )
  }
  const profile = attempt(() => profileObject.decode(payload))
  return profile.ok ? { ok: true, value: { profile: profile.value, signer: owner } } : profile
}
