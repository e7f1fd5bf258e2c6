/** For tests: a log that answers as a service does, from stored nodes; and its history rewritten. */
import { concatBytes } from '../../../core/bytes.ts'
import type { Digest } from '../../../core/digest.ts'
import { ed25519KeyPair } from '../../../core/keys.ts'
import { leafHash } from '../../../core/merkle.ts'
import { type LogIdentity, signCheckpoint } from '../checkpoint.ts'
import type { ConsistencyAnswer } from '../monitor.ts'
import {
  appendLeaves,
  consistencyNodes,
  EMPTY_FRONTIER,
  foldPlan,
  inclusionNodes,
  keyOf,
  type NodeRef,
  rootNodes,
} from '../tree.ts'

export const logKey = ed25519KeyPair(new Uint8Array(32).fill(9))
export const log: LogIdentity = { origin: 'example.com/assay', publicKey: logKey.publicKey }

export interface LogServer {
  readonly leaves: readonly Uint8Array[]
  root(size: number): Digest
  checkpoint(size: number, timeSeconds: number): Promise<string>
  inclusion(index: number, size: number): Digest[]
  answer(from: number, to: number): ConsistencyAnswer
}

export function logServer(leaves: readonly Uint8Array[]): LogServer {
  const { nodes } = appendLeaves(EMPTY_FRONTIER, concatBytes(...leaves.map(leafHash)))
  const store = new Map(nodes.map(({ hash, ...ref }) => [keyOf(ref), hash]))
  const read = (ref: NodeRef) => store.get(keyOf(ref))
  const root = (size: number) => foldPlan(rootNodes(size), read)[0] as Digest
  return {
    leaves,
    root,
    checkpoint: (size, timeSeconds) =>
      signCheckpoint({ origin: log.origin, size, root: root(size), timeSeconds }, logKey),
    inclusion: (index, size) => foldPlan(inclusionNodes(index, size), read),
    answer: (from, to) => ({ fromRoot: root(from), proof: foldPlan(consistencyNodes(from, to), read) }),
  }
}
