/**
 * A node by hand: the right requests, and the means to send wrong ones, to a real coordinator.
 */
import { randomBytes } from 'node:crypto'
import { toBase64, toHex } from 'assay/core/bytes'
import { ed25519KeyPair, type KeyPair, type NodeId, nodeId } from 'assay/core/keys'
import { signExecutionBatch } from 'assay/core/poe-batch'
import { type Client, createClient } from 'assay/wire/client'
import type { LeaseGroup, ResultsRequest } from 'assay/wire/dispatch'
import type { Manifest } from 'assay/wire/manifest'
import { SIGNATURE_HEADER, signRequest } from 'assay/wire/request-signature'
import { executeRows, groupTask } from '../../../src/executor/execution.ts'

export interface RawNode {
  readonly key: KeyPair
  readonly id: NodeId
  readonly manifest: Manifest
  readonly client: Client
  register(enrolment: string): Promise<unknown>
  /** Asks until there is work. */
  lease(max?: number): Promise<LeaseGroup>
  /** The answer to all segments of a group, with these rows of the whole job. */
  answer(group: LeaseGroup, rows: readonly Uint8Array[]): Promise<ResultsRequest>
}

export interface RawRequest {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly headers?: { readonly [name: string]: string }
}

export interface RawAnswer {
  readonly status: number
  /** Of the problem; null for an answer that is none. */
  readonly code: string | null
  readonly text: string
}

export function rawNode(
  url: string,
  { operator, name = operator }: { operator: string; name?: string },
): RawNode {
  const key = ed25519KeyPair(new Uint8Array(randomBytes(32)))
  const id = nodeId(key.publicKey)
  const client = createClient({ url, nodeKey: key })
  const manifest: Manifest = {
    role: 'solver',
    publicKey: { type: key.publicKey.type, bytes: toHex(key.publicKey.bytes) },
    name,
    operator,
    region: 'here',
    engine: 'by hand',
    hardware: { tier: 3, cores: 1, memoryBytes: 2 ** 30, score: 1 },
    runtimes: ['wasm'],
    workKinds: ['wasm'],
    chatModels: [],
    slots: 16,
  }
  return {
    key,
    id,
    manifest,
    client,
    register: (enrolment) => client.registerNode({ body: { manifest, enrolment } }),
    async lease(max = 1) {
      for (;;) {
        const { groups } = await client.lease({ body: { max, waitMs: 1000 } })
        if (groups[0] !== undefined) return groups[0]
      }
    },
    async answer(group, rows) {
      const computed = group.segments.map((lease) => ({
        lease,
        rows: rows.slice(lease.from, lease.to),
        elapsedMs: 1,
      }))
      const signal = new AbortController().signal
      const executed = await executeRows(groupTask(group), computed, { key, signal })
      const { signature } = await signExecutionBatch(
        executed.map(({ fields }) => fields),
        key,
      )
      return {
        signature: toBase64(signature),
        results: executed.map(({ id: dispatch, fence, commitment, output, elapsedMs }) => ({
          id: dispatch,
          fence,
          commitment: toHex(commitment),
          output: { inline: toBase64(output) },
          elapsedMs,
        })),
      }
    },
  }
}

/** Headers of a signed request, of whatever time and nonce. */
export async function signedHeaders(
  { method, path, body }: RawRequest,
  key: KeyPair,
  { at = Date.now(), nonce = randomBytes(16).toString('hex') }: { at?: number; nonce?: string } = {},
): Promise<{ [name: string]: string }> {
  const bytes = new Uint8Array(Buffer.from(JSON.stringify(body)))
  return { [SIGNATURE_HEADER]: await signRequest({ method, path, body: bytes }, { key, at, nonce }) }
}

/** Sends it as it is, and tells what came back. */
export async function raw(url: string, { method, path, body, headers = {} }: RawRequest): Promise<RawAnswer> {
  const isText = typeof body === 'string' || body instanceof Uint8Array
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: isText ? (body as string) : JSON.stringify(body) }),
  })
  const text = await response.text()
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json') === true
  return {
    status: response.status,
    code: isProblem ? (JSON.parse(text) as { code: string }).code : null,
    text,
  }
}
