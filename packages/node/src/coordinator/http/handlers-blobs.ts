/** Blobs of accounts and of nodes. */

import type { Principal } from '../accounts.ts'
import type { NodeInfo } from '../registry/nodes.ts'
import type { BlobOwner, CoordinatorDeps } from './deps.ts'
import type { HandlersOf } from './handler.ts'

export function blobHandlers({
  blobs,
}: CoordinatorDeps): HandlersOf<
  'beginBlob' | 'appendBlob' | 'readBlob' | 'beginNodeBlob' | 'appendNodeBlob' | 'readNodeBlob'
> {
  return {
    beginBlob: ({ body, caller }) => blobs.begin(account(caller), body),
    appendBlob: ({ params, query, body, caller }) =>
      blobs.append(account(caller), { ...params, ...query, bytes: body }),
    readBlob: ({ params: { cid }, caller, range }) => blobs.read(account(caller), cid, range),
    beginNodeBlob: ({ body, caller }) => blobs.begin(node(caller), body),
    appendNodeBlob: ({ params, query, body, caller }) =>
      blobs.append(node(caller), { ...params, ...query, bytes: body }),
    readNodeBlob: ({ params: { cid }, caller, range }) => blobs.read(node(caller), cid, range),
  }
}

const account = ({ account }: Principal): BlobOwner => ({ kind: 'account', account })
const node = (node: NodeInfo): BlobOwner => ({ kind: 'node', node })
