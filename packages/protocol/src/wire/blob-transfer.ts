/**
 * Large values, by content address: uploaded once, in parts, from where it broke off; downloaded from where it broke
 * off, and checked.
 *
 * Threat: both ends distrust one another. The service checks what was uploaded against its address, and whoever
 * downloads checks what came.
 */

import type * as z from 'zod/mini'
import { assertContent, type Cid, type CidCodec, formatCid, parseCid } from '../core/cid.ts'
import { type Digest, sha256 } from '../core/digest.ts'
import { AssayError } from '../core/errors.ts'
import type { blobStatus } from './api.ts'
import { type Client, DEFAULT_MAX_BYTES } from './client.ts'
import { type CallOptions, DEFAULT_ATTEMPTS, pauseAfter, readAll } from './transport.ts'

/** Lost when a connection breaks; a quarter of the most that a service takes. */
export const PART_BYTES = 2 ** 22
/** Answers that say "begin there" in a row: more is no progress. */
const MAX_RESUMES = 8

type BlobStatus = z.infer<typeof blobStatus>

/** Whether an API key or a node's key asks. */
export type BlobSide = 'submitter' | 'node'

/** Bytes that need not all be in memory. */
export interface BlobSource {
  readonly cid: string
  readonly sizeBytes: number
  /** Bytes `from` to before `to`. */
  read(from: number, to: number): Promise<Uint8Array> | Uint8Array
}

export interface UploadOptions {
  /** `submitter` unless told. */
  readonly side?: BlobSide
  readonly partBytes?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly sentBytes: number; readonly sizeBytes: number }) => void
}

/** Uploads what the service does not have yet. */
export async function uploadBlob(
  client: Client,
  source: BlobSource,
  options: UploadOptions = {},
): Promise<void> {
  const { side = 'submitter', partBytes = PART_BYTES, signal, onProgress } = options
  const { cid, sizeBytes } = source
  const call: CallOptions = signal === undefined ? {} : { signal }
  const begin = side === 'node' ? client.beginNodeBlob : client.beginBlob
  const append = side === 'node' ? client.appendNodeBlob : client.appendBlob
  let resumes = 0
  const resume = async (reason: unknown): Promise<void> => {
    if (++resumes > MAX_RESUMES) throw reason
    const pauseMs = pauseAfter(new AssayError('wire/unavailable', 'elsewhere'), {
      attempt: resumes,
      ...client.transport,
    })
    await client.transport.sleep(pauseMs ?? 0, signal)
  }
  const begun = async (): Promise<BlobStatus> => {
    for (;;) {
      try {
        return await begin({ body: { cid, sizeBytes } }, call)
      } catch (error) {
        if (!isElsewhere(error)) throw error
        await resume(error)
      }
    }
  }
  let status = await begun()
  while (!status.complete) {
    const offset = checkedOffset(status, source)
    onProgress?.({ sentBytes: offset, sizeBytes })
    if (offset === sizeBytes && sizeBytes > 0) {
      // All of it is there, and another upload of the same is finishing it.
      await resume(stuck(status))
      status = await begun()
      continue
    }
    try {
      const body = await source.read(offset, Math.min(offset + partBytes, sizeBytes))
      const next: BlobStatus = await append({ params: { cid }, query: { offset }, body }, call)
      if (next.complete || next.storedBytes > offset) {
        status = next
        resumes = 0
      } else {
        // Another upload of the same finished it, or the service forgot this one: it begins anew.
        await resume(stuck(next))
        status = await begun()
      }
    } catch (error) {
      // Another upload of the same, or an answer that got lost: the service says where to go on.
      if (!isElsewhere(error)) throw error
      await resume(error)
      status = await begun()
    }
  }
  onProgress?.({ sentBytes: sizeBytes, sizeBytes })
}

/** Uploads bytes; their address. */
export async function uploadBytes(
  client: Client,
  bytes: Uint8Array,
  { codec = 'raw', ...options }: UploadOptions & { readonly codec?: CidCodec } = {},
): Promise<Cid> {
  const cid = await addressOf(bytes, codec)
  const read = (from: number, to: number) => bytes.subarray(from, to)
  await uploadBlob(client, { cid, sizeBytes: bytes.length, read }, options)
  return cid
}

/** As `contentAddress`, through WebCrypto where there is one: ten times as fast. */
export async function addressOf(bytes: Uint8Array, codec: CidCodec = 'raw'): Promise<Cid> {
  const subtle = globalThis.crypto?.subtle
  if (subtle === undefined) return formatCid(sha256(bytes), codec)
  const digest = await subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
  return formatCid(new Uint8Array(digest) as Uint8Array as Digest, codec)
}

function checkedOffset({ storedBytes, complete }: BlobStatus, { cid, sizeBytes }: BlobSource): number {
  if (storedBytes <= sizeBytes && !complete) return storedBytes
  throw stuck({ cid, storedBytes, sizeBytes })
}

function stuck({ cid, storedBytes, sizeBytes }: Omit<BlobStatus, 'complete'>): AssayError {
  const message = `${cid}: the service has ${storedBytes} of ${sizeBytes} bytes, and does not go on`
  return new AssayError('wire/answer', message, { detail: { cid, storedBytes, sizeBytes } })
}

function isElsewhere(error: unknown): boolean {
  if (!(error instanceof AssayError)) return false
  // An upload that is gone: of two of the same, one found other bytes, or was finished elsewhere.
  return error.detail.status === 409 || error.code === 'blob/missing'
}

export interface DownloadOptions {
  /** `submitter` unless told. */
  readonly side?: BlobSide
  readonly signal?: AbortSignal
  readonly maxBytes?: number
}

/**
 * The bytes of a blob from `fromByte` on, as they come, across as many connections as it takes. Not checked: the
 * caller hashes what it writes.
 */
export async function* streamBlob(
  client: Client,
  cid: string,
  { side = 'submitter', signal, fromByte = 0 }: DownloadOptions & { readonly fromByte?: number } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const operation = side === 'node' ? 'readNodeBlob' : 'readBlob'
  let at = fromByte
  for (let attempt = 1; ; attempt++) {
    const { status, body } = await client.transport.call(
      operation,
      { params: { cid } },
      { ...(signal === undefined ? {} : { signal }), fromByte: at, read: async (answer) => answer },
    )
    try {
      // A service may pass over a range, and begin at the beginning.
      let skip = status === 206 ? 0 : at
      for await (const piece of body) {
        const rest = piece.subarray(Math.min(skip, piece.length))
        skip -= piece.length - rest.length
        if (rest.length === 0) continue
        at += rest.length
        attempt = 0
        yield rest
      }
      return
    } catch (error) {
      signal?.throwIfAborted()
      const pauseMs = pauseAfter(error, { attempt: Math.max(attempt, 1), ...client.transport })
      if (pauseMs === undefined || attempt >= DEFAULT_ATTEMPTS) throw error
      await client.transport.sleep(pauseMs, signal)
    }
  }
}

/** The whole of a blob, checked against its address: `cid/mismatch`. */
export async function downloadBlob(
  client: Client,
  cid: string,
  options: DownloadOptions = {},
): Promise<Uint8Array> {
  const { codec } = parseCid(cid)
  const bytes = await readAll(streamBlob(client, cid, options), options.maxBytes ?? DEFAULT_MAX_BYTES)
  if ((await addressOf(bytes, codec)) !== cid) assertContent(cid, bytes)
  return bytes
}
