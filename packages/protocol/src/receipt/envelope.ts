/**
 * DSSE envelopes (Dead Simple Signing Envelope, protocol and envelope v1.0.2), so that other tools can read
 * our receipts: a payload, its type, and a signature over both.
 *
 * Threat: the envelope comes from anybody. Size and schema first, then the signature over the exact payload
 * bytes; only then is the payload read.
 */
import * as z from 'zod/mini'
import { concatBytes, fromBase64, toBase64, utf8 } from '../core/bytes.ts'
import { parseWith } from '../core/codec.ts'
import { AssayError } from '../core/errors.ts'
import { type KeyPair, nodeId, sign } from '../core/keys.ts'

export const PAYLOAD_TYPE = 'application/vnd.in-toto+json'
/** Cap on a payload: a receipt with all its indices listed has less than 200 KB. */
export const MAX_PAYLOAD_BYTES = 2 ** 20

export interface EnvelopeLimits {
  /** Of the payload; 2^20 unless told. */
  readonly maxBytes?: number
}

const envelope = z.strictObject({
  // Its length is that of `maxBytes` in base64, checked before this.
  payload: z.string(),
  payloadType: z.literal(PAYLOAD_TYPE),
  signatures: z.tuple([
    z.strictObject({
      keyid: z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits')),
      sig: z.string().check(z.maxLength(1024)),
    }),
  ]),
})

/** One payload with one signature; `keyid` is the signer's node id. */
export type Envelope = z.infer<typeof envelope>

/** What is signed: type and body, each behind its length in decimal. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType)
  return concatBytes(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload)
}

export async function sealEnvelope(
  payload: Uint8Array,
  key: KeyPair,
  options: EnvelopeLimits & {
    /** Signs; a service passes a native one. */
    readonly signer?: typeof sign
  } = {},
): Promise<Envelope> {
  const { maxBytes = MAX_PAYLOAD_BYTES, signer = sign } = options
  if (payload.length > maxBytes) throw tooLarge(maxBytes, `${payload.length}`)
  const signature = await signer(key, preAuthEncoding(PAYLOAD_TYPE, payload))
  return {
    payload: toBase64(payload),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: nodeId(key.publicKey), sig: toBase64(signature) }],
  }
}

export interface OpenedEnvelope {
  /** Not yet trusted: see the signature. */
  readonly payload: Uint8Array
  readonly keyid: string
  readonly signature: Uint8Array
}

/** Strict; throws `codec/schema`, `bytes/malformed`, `receipt/malformed`. The signature is the caller's to verify. */
export function parseEnvelope(value: unknown, options: EnvelopeLimits = {}): OpenedEnvelope {
  const { maxBytes = MAX_PAYLOAD_BYTES } = options
  const text = (value as { readonly payload?: unknown } | null)?.payload
  if (typeof text === 'string' && text.length > 4 * Math.ceil(maxBytes / 3)) throw tooLarge(maxBytes, 'more')
  const { payload, signatures } = parseWith(envelope, value, 'receipt envelope')
  const [{ keyid, sig }] = signatures
  return { payload: fromBase64(payload), keyid, signature: fromBase64(sig) }
}

function tooLarge(maxBytes: number, got: string): AssayError {
  return new AssayError('receipt/malformed', `expected a payload of at most ${maxBytes} bytes, got ${got}`)
}
