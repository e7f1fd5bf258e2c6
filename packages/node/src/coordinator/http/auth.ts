/**
 * Who asks: the account of an API key, a registered node, or one that wants to be.
 *
 * Threat: headers come from anybody. What can be refused without reading the body is: form and time of a signature, a
 * node that is not known, a key that is not good. The nonce is remembered only once the signature holds, so that
 * nobody can use up a node's nonces, or fill the memory of them.
 */
import { createHash } from 'node:crypto'
import { fromHex } from 'assay/core/bytes'
import type { Digest } from 'assay/core/digest'
import { AssayError, attempt } from 'assay/core/errors'
import { nodeId, type PublicKey, type verifySignature } from 'assay/core/keys'
import type { Scope } from 'assay/wire/account'
import type { Route } from 'assay/wire/api'
import type { Manifest } from 'assay/wire/manifest'
import {
  MAX_CLOCK_SKEW_MS,
  parseRequestSignature,
  type RequestClaim,
  SIGNATURE_HEADER,
  verifyRequest,
} from 'assay/wire/request-signature'
import type { ApiContext } from '../../service/api-context.ts'
import { type Keyring, mayUse, type Principal } from '../accounts.ts'
import type { NodeCache, NodeInfo } from '../registry/nodes.ts'
import type { Nonces } from './nonces.ts'

/** A token has 87 characters. */
const MAX_AUTHORIZATION = 512

export type Caller =
  | { readonly kind: 'public' }
  | { readonly kind: 'account'; readonly principal: Principal }
  | { readonly kind: 'node'; readonly node: NodeInfo }
  /** Holds the key of the manifest that it sent. */
  | { readonly kind: 'candidate'; readonly manifest: Manifest }

export interface AuthParts {
  readonly keyring: Keyring
  readonly nodes: NodeCache
  readonly nonces: Nonces
  readonly verify: typeof verifySignature
  /** Unix milliseconds. */
  readonly now: () => number
}

/** What is known of the caller before the body is read; `finish` says the rest. */
export interface Credentials {
  /** `parse`: the body as its route has it, for the one caller whose key comes in there. */
  readonly finish: (body: Uint8Array, parse: () => unknown) => Promise<Caller>
}

/** Throws 'wire/unauthenticated', 'wire/signature' and 'wire/forbidden'. */
export async function readCredentials(route: Route, c: ApiContext, parts: AuthParts): Promise<Credentials> {
  const { auth } = route
  switch (auth) {
    case 'public':
      return { finish: async () => ({ kind: 'public' }) }
    case 'enrolling':
    case 'node':
    case 'verifier':
      return signed(auth, c, parts)
    default: {
      const principal = await bearer(auth, c, parts)
      return { finish: async () => ({ kind: 'account', principal }) }
    }
  }
}

async function bearer(scope: Scope, c: ApiContext, { keyring, now }: AuthParts): Promise<Principal> {
  const header = c.req.header('authorization') ?? ''
  const token = header.length <= MAX_AUTHORIZATION ? /^Bearer +(\S+)$/i.exec(header)?.[1] : undefined
  if (token === undefined) {
    throw new AssayError(
      'wire/unauthenticated',
      `this needs an API key with the scope ${scope}: Authorization: Bearer …`,
    )
  }
  const known = await keyring.authenticate(token, { now: now() })
  if (!known.ok) throw AssayError.fromJSON(known)
  const allowed = mayUse(known.value, scope)
  if (!allowed.ok) throw AssayError.fromJSON(allowed)
  return known.value
}

async function signed(
  auth: 'enrolling' | 'node' | 'verifier',
  c: ApiContext,
  parts: AuthParts,
): Promise<Credentials> {
  const header = c.req.header(SIGNATURE_HEADER)
  if (header === undefined) {
    throw new AssayError('wire/unauthenticated', 'this is signed by the key of a node: send Assay-Signature')
  }
  const parsed = parseRequestSignature(header)
  if (!parsed.ok) throw AssayError.fromJSON(parsed)
  const claim = parsed.value
  const now = parts.now()
  // Looked at again with the signature; here it spares the body and the database.
  if (Math.abs(now - claim.at) > MAX_CLOCK_SKEW_MS) {
    const message = `the request was signed at ${claim.at}, and it is ${now} here`
    throw new AssayError('wire/signature', message, { detail: { signedAt: claim.at, now } })
  }
  if (auth === 'enrolling') {
    return {
      finish: async (body, parse) => {
        const { manifest } = parse() as { readonly manifest: Manifest }
        await check(c, { claim, body, publicKey: keyOf(manifest, claim), parts })
        return { kind: 'candidate', manifest }
      },
    }
  }
  const node = (await parts.nodes.get([claim.nodeId], now)).get(claim.nodeId)
  if (node === undefined) {
    throw new AssayError('wire/unauthenticated', `node ${claim.nodeId} is not registered here: register it`)
  }
  if (auth === 'verifier' && node.role !== 'verifier') {
    throw new AssayError('wire/forbidden', `this is for verifiers, and the node is a ${node.role}`)
  }
  return {
    finish: async (body) => {
      await check(c, { claim, body, publicKey: node.publicKey, parts })
      return { kind: 'node', node }
    },
  }
}

/** The key that the manifest brings, if it is that of the node that signs. */
function keyOf({ publicKey: { type, bytes } }: Manifest, claim: RequestClaim): PublicKey {
  const key: PublicKey = { type, bytes: fromHex(bytes) }
  const id = attempt(() => nodeId(key))
  if (!id.ok) throw AssayError.fromJSON(id)
  if (id.value === claim.nodeId) return key
  throw new AssayError('wire/signature', 'the request is not signed by the key of its manifest', {
    detail: { signedBy: claim.nodeId, manifest: id.value },
  })
}

async function check(
  c: ApiContext,
  {
    claim,
    body,
    publicKey,
    parts,
  }: {
    readonly claim: RequestClaim
    readonly body: Uint8Array
    readonly publicKey: PublicKey
    readonly parts: AuthParts
  },
): Promise<void> {
  const bodyDigest = new Uint8Array(createHash('sha256').update(body).digest()) as Uint8Array as Digest
  const request = { method: c.req.method, path: sentPath(c), body, bodyDigest }
  const { verify, nonces, now } = parts
  const verdict = await verifyRequest(request, { claim, publicKey, now: now(), verify })
  if (!verdict.ok) throw AssayError.fromJSON(verdict)
  await nonces.use(claim)
}

/** Path and query as they came, before anything decoded or normalised them. */
function sentPath(c: ApiContext): string {
  return c.env.incoming.url ?? c.req.path
}
