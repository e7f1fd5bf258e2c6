/** Where content comes from that is not in the cache: the blobs of a coordinator, from any byte on. */
import { AssayError } from 'assay/core/errors'
import type { Client } from 'assay/wire/client'

export interface ContentStretch {
  /** Of the whole. */
  readonly sizeBytes: number
  /** Where `bytes` begin: as asked for, or 0 where the source knows no ranges. */
  readonly fromByte: number
  readonly bytes: AsyncIterable<Uint8Array>
}

/** What comes is not checked; whoever keeps it does that. */
export type ContentSource = (
  cid: string,
  options: { readonly fromByte: number; readonly signal: AbortSignal },
) => Promise<ContentStretch>

/** As a node or a verifier reads them; `client` has its key. */
export function coordinatorContent(client: Client): ContentSource {
  return async (cid, { fromByte, signal }) => {
    const { status, headers, body } = await client.transport.call(
      'readNodeBlob',
      { params: { cid } },
      { fromByte, signal, read: async (answer) => answer },
    )
    const isPart = status === 206
    const size = isPart
      ? /\/(\d{1,16})$/.exec(headers.get('content-range') ?? '')?.[1]
      : headers.get('content-length')
    if (size === undefined || size === null) {
      await body.return()
      throw new AssayError('wire/answer', `expected the size of ${cid} from the coordinator, got none`)
    }
    return { sizeBytes: Number(size), fromByte: isPart ? fromByte : 0, bytes: body }
  }
}
