/** What the functions of this folder work with. */
import type { verifySignature } from 'assay/core/keys'
import type { Database } from '../../store/database.ts'
import type { NodePolicy } from '../registry/policy.ts'
import type { FactsCache } from './job-facts.ts'
import type { Roster } from './roster.ts'

/** The blobs that jobs are about. */
export interface Content {
  /** Which of the addresses the account has not uploaded. */
  missing(submitter: string, cids: readonly string[]): Promise<readonly string[]>
  /** The bytes of an uploaded blob, checked against their address, in pieces. Throws 'blob/missing'. */
  read(cid: string): AsyncIterable<Uint8Array>
}

/** The same, and whose blobs they are: what a node says of its own may be what somebody else keeps to themselves. */
export interface OwnedContent extends Content {
  /** Which of the addresses the account has not uploaded itself, whoever else has. */
  foreign(account: string, cids: readonly string[]): Promise<readonly string[]>
}

export interface LifeParts {
  readonly db: Database
  readonly cache: FactsCache
  readonly content: OwnedContent
  readonly policy: NodePolicy
  /** The newest one at hand. */
  readonly roster: () => Roster
  /** Checks signatures of nodes and verifiers. */
  readonly verify: typeof verifySignature
  /** Called when there may be work to lease or to check, after it was committed. */
  readonly onWork: () => void
}
