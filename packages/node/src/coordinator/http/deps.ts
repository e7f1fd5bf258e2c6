/** What the HTTP side of a coordinator works with: the parts of the coordinator, as narrow as they are used. */
import type { verifySignature } from 'assay/core/keys'
import type { EventView } from 'assay/wire/account'
import type { blobStatus, logProof, networkView } from 'assay/wire/api'
import type { FailuresRequest, LeaseGroup, ResultsRequest, resultsResponse } from 'assay/wire/dispatch'
import type { JobSpec, JobView, SegmentView } from 'assay/wire/job'
import type { JobState } from 'assay/wire/life'
import type { JsonObject } from 'assay/wire/openapi-schemas'
import type { VerdictsRequest, VerificationLease } from 'assay/wire/verification'
import type * as z from 'zod/mini'
import type { Log } from '../../service/log.ts'
import type { Metrics } from '../../service/metrics.ts'
import type { Database } from '../../store/database.ts'
import type { Keyring } from '../accounts.ts'
import type { EventFeed } from '../event-feed.ts'
import type { Page, PageOptions } from '../ledger-read.ts'
import type { Content } from '../life/parts.ts'
import type { Heartbeats } from '../registry/heartbeats.ts'
import type { NodeCache, NodeInfo } from '../registry/nodes.ts'
import type { NodePolicy } from '../registry/policy.ts'
import type { Reservations } from './idempotency.ts'
import type { Nonces } from './nonces.ts'
import type { WorkBoard } from './work-board.ts'

/** Of one account, or of all for whoever may see all. */
export interface JobScope {
  readonly account: string | 'all'
}

export interface Jobs {
  /** `id`: drawn before, so that the same submission makes one job. */
  submitJob(submission: {
    readonly submitter: string
    readonly spec: JobSpec
    readonly id?: string
  }): Promise<JobView>
  /** 'wire/not-found' for jobs outside of the scope. */
  showJob(id: string, scope: JobScope): Promise<JobView>
  listJobs(
    scope: JobScope,
    options: PageOptions & { readonly state?: JobState | undefined },
  ): Promise<Page<JobView>>
  listSegments(id: string, options: PageOptions & JobScope): Promise<Page<SegmentView>>
  cancelJob(id: string, scope: JobScope): Promise<JobView>
  /** All rows of an accepted job, encoded. 'wire/conflict' before. */
  jobResult(id: string, scope: JobScope): Promise<BytesAnswer>
}

export interface Dispatch {
  leaseSegments(node: NodeInfo, max: number): Promise<LeaseGroup[]>
  renewLeases(
    nodeId: string,
    leases: readonly { readonly id: string; readonly fence: number }[],
  ): Promise<string[]>
  takeResults(node: NodeInfo, request: ResultsRequest): Promise<z.infer<typeof resultsResponse>['outcomes']>
  takeFailures(node: NodeInfo, request: FailuresRequest): Promise<void>
  leaseVerifications(verifier: NodeInfo, max: number): Promise<VerificationLease[]>
  /** Those that were no longer the verifier's. */
  takeVerdicts(verifier: NodeInfo, request: VerdictsRequest): Promise<string[]>
}

export interface Blobs {
  begin(owner: BlobOwner, blob: { readonly cid: string; readonly sizeBytes: number }): Promise<BlobStatus>
  append(
    owner: BlobOwner,
    part: { readonly cid: string; readonly offset: number; readonly bytes: Uint8Array },
  ): Promise<BlobStatus>
  /** 'wire/not-found' for what the reader may not have. */
  read(reader: BlobOwner, cid: string, range: ByteRange | undefined): Promise<BytesAnswer>
}

export type BlobStatus = z.infer<typeof blobStatus>
export type BlobOwner =
  | { readonly kind: 'account'; readonly account: string }
  | { readonly kind: 'node'; readonly node: NodeInfo }

/** Bytes `from` to `to`, both part of it; or the last `suffix`. */
export type ByteRange = { readonly from: number; readonly to?: number } | { readonly suffix: number }

export interface BytesAnswer {
  readonly bytes: AsyncIterable<Uint8Array>
  /** Of what is sent, where it is known beforehand. */
  readonly sizeBytes?: number
  /** Where a part of the whole is sent. */
  readonly part?: { readonly from: number; readonly wholeBytes: number }
}

export interface Sealing {
  /** The bundle as JSON text. 'wire/conflict' where there is none yet, or will never be. */
  jobReceipt(id: string, scope: JobScope): Promise<string>
  checkpoint(): Promise<string>
  inclusion(index: number): Promise<z.infer<typeof logProof>>
  consistency(range: {
    readonly from: number
    readonly to: number
  }): Promise<{ readonly fromRoot: string; readonly path: string[] }>
  entries(range: { readonly from: number; readonly limit: number }): Promise<string[]>
}

export interface CoordinatorDeps {
  readonly db: Database
  readonly log: Log
  readonly metrics: Metrics
  /** Unix milliseconds. */
  readonly now: () => number
  readonly verify: typeof verifySignature
  readonly keyring: Keyring
  readonly nodes: NodeCache
  readonly policy: NodePolicy
  readonly heartbeats: Heartbeats
  readonly feed: EventFeed
  readonly nonces: Nonces
  readonly reservations: Reservations
  /** Nodes that wait for segments, and verifiers that wait for results to check. */
  readonly segmentBoard: WorkBoard
  readonly verificationBoard: WorkBoard
  readonly jobs: Jobs
  readonly dispatch: Dispatch
  readonly blobs: Blobs
  /** What jobs are about, whoever it belongs to. */
  readonly content: Content
  readonly sealing: Sealing
  readonly network: () => Promise<z.infer<typeof networkView>>
  /** What is not well, by name; empty when all is. */
  readonly readiness: () => Promise<{ readonly [part: string]: string }>
  readonly openApi: JsonObject
  readonly maxStreams: number
}

export type EventSource = AsyncGenerator<EventView, void, undefined>
