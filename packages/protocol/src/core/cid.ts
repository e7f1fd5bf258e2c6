/**
 * Content addresses: CIDv1 (multiformats CID specification) of whole values, with SHA-256.
 *
 * Narrowed to what we use, so that one content has one address text: base32 in lower case without padding,
 * multihash sha2-256, codec raw (0x55) for opaque bytes or dag-cbor (0x71) for encoded objects. A value too
 * large for one block elsewhere in IPFS is still one block here.
 *
 * Threat: whoever serves content may serve other content; `assertContent` is the check.
 */
import { base32 } from 'multiformats/bases/base32'
import { CID } from 'multiformats/cid'
import { create as createMultihash } from 'multiformats/hashes/digest'
import { equalBytes } from './bytes.ts'
import { DIGEST_BYTES, type Digest, sha256 } from './digest.ts'
import { AssayError } from './errors.ts'
import { describeValue } from './inspect.ts'

declare const cidBrand: unique symbol

/** Canonical text of a content address: `b` and 58 characters of base32. */
export type Cid = string & { readonly [cidBrand]: true }

export type CidCodec = 'raw' | 'dag-cbor'

const CODES = { raw: 0x55, 'dag-cbor': 0x71 } as const satisfies { readonly [codec in CidCodec]: number }
const SHA2_256 = 0x12
/** 36 bytes (version, codec, hash, length, digest) in base32; checked before any decoding. */
const SHAPE = /^b[a-z2-7]{58}$/

/** The address of `bytes`, which are opaque (`raw`) or an encoded object (`dag-cbor`). */
export function contentAddress(bytes: Uint8Array, codec: CidCodec): Cid {
  return formatCid(sha256(bytes), codec)
}

/** The address of the content whose SHA-256 is `digest`: for content that was hashed as it streamed by. */
export function formatCid(digest: Digest, codec: CidCodec): Cid {
  const cid = CID.createV1(CODES[codec], createMultihash(SHA2_256, digest))
  return base32.encode(cid.bytes) as Cid
}

/** Codec and digest of a content address in its canonical text. Throws `cid/malformed` for every other text. */
export function parseCid(text: string): { readonly codec: CidCodec; readonly digest: Digest } {
  if (typeof text !== 'string' || !SHAPE.test(text)) throw malformed(text)
  const { code, multihash } = decodeCid(text)
  const codec = code === CODES.raw ? 'raw' : code === CODES['dag-cbor'] ? 'dag-cbor' : undefined
  if (codec === undefined || multihash.digest.length !== DIGEST_BYTES) throw malformed(text)
  const digest = multihash.digest.slice() as Uint8Array as Digest
  // Also what refuses another version, another hash and set bits at the end: they format otherwise.
  if (formatCid(digest, codec) !== text) throw malformed(text)
  return { codec, digest }
}

export function isCid(text: unknown): text is Cid {
  try {
    parseCid(text as string)
    return true
  } catch {
    return false
  }
}

/** Throws `cid/mismatch` unless `bytes` are the content at `cid`, and `cid/malformed` for what is no address. */
export function assertContent(cid: string, bytes: Uint8Array): asserts cid is Cid {
  const { codec, digest } = parseCid(cid)
  if (equalBytes(sha256(bytes), digest)) return
  const got = contentAddress(bytes, codec)
  throw new AssayError(
    'cid/mismatch',
    `expected the content at ${cid}, got ${bytes.length} bytes that hash to ${got}`,
    {
      detail: { expected: cid, got, bytes: bytes.length },
    },
  )
}

function decodeCid(text: string): CID {
  try {
    return CID.decode(base32.decode(text))
  } catch (cause) {
    throw malformed(text, cause)
  }
}

function malformed(text: unknown, cause?: unknown): AssayError {
  return new AssayError(
    'cid/malformed',
    `expected a CIDv1 in base32 (b and 58 characters; raw or dag-cbor, sha2-256), got ${describeValue(text)}`,
    { cause },
  )
}
