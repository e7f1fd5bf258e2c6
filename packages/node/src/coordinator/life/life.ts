/**
 * The life of jobs as a service of one replica: the functions of this folder over one database, with what they share.
 *
 * Calls that come at the same time travel in one transaction (store/batcher.ts). What a call sets off but does not wait
 * for (cutting a large job, deciding a segment) runs behind it; were the replica to die, the next sweep of any other
 * would find it undone.
 *
 * Order of use: `createLife`, calls and `sweep` now and then, `close`.
 */
import type { verifySignature } from 'assay/core/keys'
import type {
  FailuresRequest,
  LeaseGroup,
  ResultsRequest,
  renewRequest,
  resultsResponse,
} from 'assay/wire/dispatch'
import type { VerdictsRequest, VerificationLease } from 'assay/wire/verification'
import type * as z from 'zod/mini'
import { type Batcher, createBatcher } from '../../store/batcher.ts'
import type { Database } from '../../store/database.ts'
import type { NodeInfo } from '../registry/nodes.ts'
import type { NodePolicy } from '../registry/policy.ts'
import { sweepNodes } from '../registry.ts'
import { type CancelOptions, cancelJob } from './cancel.ts'
import { giveUpChecks } from './check-attempts.ts'
import { takeFailures } from './failures.ts'
import { type PreparedJob, prepareJob, type Submission, takeJobs } from './intake.ts'
import { createFactsCache, type FactsCache, type JobFacts } from './job-facts.ts'
import { leaseSegments, renewLeases } from './lease.ts'
import type { LifeParts, OwnedContent } from './parts.ts'
import { type Answer, recordAnswers, type Taken } from './record-results.ts'
import { takeResults } from './results.ts'
import { goneFrom, loadRoster, type Roster } from './roster.ts'
import { segmentChunk } from './segmentation.ts'
import * as steps from './sweep.ts'
import { decideSegments, type SegmentRef } from './validated.ts'
import { leaseVerifications, takeVerdicts } from './verifications.ts'

/** Of one transaction: some tens of milliseconds of work. */
const MAX_JOBS_AT_ONCE = 256
const MAX_ANSWERS_AT_ONCE = 32
const MAX_DECISIONS_AT_ONCE = 256
/** Beyond it, callers are told to come again: some seconds of work. */
const MAX_QUEUED = 4096
/** A transaction of the life of jobs has a dozen statements: some twenty a second carry any load. */
const SPACING_MS = 50
/** How old a note must be before the sweep takes it for forgotten. */
const NOTE_AGE_MS = 2_000
/** A roster that no sweep has renewed is read again by whoever needs it. */
const ROSTER_AGE_MS = 5_000
/** Bites of one step in one sweep, so that none starves the others. */
const MAX_BITES = 64

export interface LifeOptions {
  readonly db: Database
  readonly content: OwnedContent
  readonly policy: NodePolicy
  /** Checks signatures of nodes and verifiers; a service passes a native one. */
  readonly verify: typeof verifySignature
  /** What is known of jobs, shared with whoever asks for the same; one of its own unless told. */
  readonly cache?: FactsCache
  /** Called after work to lease or to check may have come, in this replica. */
  readonly onWork?: () => void
  /** What went wrong behind a call that was answered; the next sweep tries again. */
  readonly onError?: (error: unknown, what: string) => void
}

export interface Life {
  /** Takes a job; throws 'job/…', 'wire/quota', 'ledger/insufficient', and what schemas throw. */
  submitJob(submission: Submission & { readonly now: Date }): Promise<JobFacts>
  leaseSegments(node: NodeInfo, options: { readonly max: number; readonly now: Date }): Promise<LeaseGroup[]>
  /** Ids of the leases that are lost. */
  renewLeases(
    nodeId: string,
    options: z.infer<typeof renewRequest> & { readonly now: Date },
  ): Promise<string[]>
  takeResults(
    node: NodeInfo,
    options: { readonly request: ResultsRequest; readonly now: Date },
  ): Promise<z.infer<typeof resultsResponse>>
  takeFailures(
    nodeId: string,
    options: { readonly request: FailuresRequest; readonly now: Date },
  ): Promise<void>
  leaseVerifications(
    verifier: NodeInfo,
    options: { readonly max: number; readonly now: Date },
  ): Promise<VerificationLease[]>
  /** Ids of the verdicts that were not taken. */
  takeVerdicts(
    verifier: NodeInfo,
    options: { readonly request: VerdictsRequest; readonly now: Date },
  ): Promise<string[]>
  /** Throws 'wire/not-found', 'wire/conflict'. */
  cancelJob(options: CancelOptions): Promise<void>
  /** One round of everything that time does; call it about once a second. Throws nothing: see `onError`. */
  sweep(now: Date): Promise<void>
  /** When what calls have set off so far is done. */
  idle(): Promise<void>
  /** Waits for what is under way; takes nothing more. */
  close(): Promise<void>
}

interface Timed<T> {
  readonly item: T
  readonly now: Date
}

/** Starts nothing by itself: there is no timer but the caller's. */
export function createLife(options: LifeOptions): Life {
  const { db, content, policy, verify, cache = createFactsCache() } = options
  const { onWork = () => {}, onError = () => {} } = options
  let roster: Roster = new Map()
  let rosterAt = Number.NEGATIVE_INFINITY
  const parts: LifeParts = {
    db,
    cache,
    content,
    policy,
    roster: () => roster,
    verify,
    onWork,
  }
  const refreshRoster = async (now: Date, maxAgeMs: number): Promise<void> => {
    if (Math.abs(now.getTime() - rosterAt) < maxAgeMs) return
    roster = await loadRoster(db, now)
    rosterAt = now.getTime()
  }
  const behind = background(onError)
  const jobs = batchOf<PreparedJob, JobFacts>(MAX_JOBS_AT_ONCE, (items, now) => takeJobs(parts, items, now))
  const answers = batchOf<Answer, Taken>(MAX_ANSWERS_AT_ONCE, async (items, now) => {
    await refreshRoster(now, ROSTER_AGE_MS)
    const taken = await recordAnswers(parts, items, now)
    return items.map(() => taken)
  })
  const decisions = batchOf<SegmentRef, true>(MAX_DECISIONS_AT_ONCE, async (items, now) => {
    await refreshRoster(now, ROSTER_AGE_MS)
    await decideSegments(parts, items, now)
    return items.map(() => true as const)
  })
  const decide = (segments: readonly SegmentRef[], now: Date): void => {
    if (segments.length === 0) return
    behind.run('validation', () => Promise.all(segments.map((item) => decisions.add({ item, now }))))
  }
  const cut = async (): Promise<void> => {
    while (await segmentChunk(parts)) if (behind.isClosed()) return
  }

  return {
    async submitJob({ now, ...submission }) {
      const prepared = await prepareJob(parts, submission, now)
      const facts = await jobs.add({ item: prepared, now })
      if (!prepared.isCutAtIntake) behind.run('segmentation', cut)
      return facts
    },
    leaseSegments: (node, { max, now }) => leaseSegments(parts, node, { max, now }),
    renewLeases: (nodeId, { leases, now }) => renewLeases(parts, nodeId, { leases, now }),
    async takeResults(node, { request, now }) {
      const record = (item: Answer) => answers.add({ item, now })
      const { outcomes, undecided } = await takeResults(parts, { node, request }, record)
      decide(undecided, now)
      return { outcomes: [...outcomes] }
    },
    async takeFailures(nodeId, { request, now }) {
      await refreshRoster(now, ROSTER_AGE_MS)
      await takeFailures(parts, { nodeId, request, now })
    },
    leaseVerifications: (verifier, { max, now }) => leaseVerifications(parts, verifier, { max, now }),
    async takeVerdicts(verifier, { request, now }) {
      const { stale, segments } = await takeVerdicts(parts, { verifier, request, now })
      decide(segments, now)
      return [...stale]
    },
    cancelJob: (of) => cancelJob(parts, of),
    sweep: (now) =>
      behind.during(async () => {
        const attempt = async (what: string, step: () => Promise<boolean>): Promise<void> => {
          try {
            for (let bite = 0; bite < MAX_BITES && (await step()); bite++) if (behind.isClosed()) return
          } catch (error) {
            onError(error, what)
          }
        }
        const once = (step: () => Promise<unknown>) => async () => {
          await step()
          return false
        }
        await attempt(
          'nodes',
          once(() => sweepNodes(db, { policy, now: now.getTime() })),
        )
        await attempt('leases of offline nodes', () => steps.endOfflineLeases(parts, now))
        await attempt('leases', () => steps.expireLeases(parts, now))
        await attempt(
          'roster',
          once(async () => {
            const before = roster
            await refreshRoster(now, 0)
            await steps.endReservations(parts, goneFrom(before, roster), now)
          }),
        )
        await attempt('verifications', () => steps.expireVerifications(parts, now))
        await attempt('checks', () => giveUpChecks(parts, now))
        await attempt('deadlines', () => steps.expireJobs(parts, now))
        await attempt('reservations', () => steps.placeAgain(parts, now))
        await attempt('segmentation', () => segmentChunk(parts))
        await attempt(
          'validation',
          once(async () => {
            const notes = await steps.oldNotes(db, new Date(now.getTime() - NOTE_AGE_MS))
            await Promise.all(notes.map((item) => decisions.add({ item, now })))
          }),
        )
        await attempt('ended jobs', () => steps.clearJobs(parts))
        await attempt('old requests', () => steps.forgetOld(parts, now))
      }),
    idle: behind.idle,
    async close() {
      behind.close()
      await Promise.all([jobs.close(), answers.close()])
      await behind.idle()
      await decisions.close()
    },
  }
}

/** Items in one transaction at a time, at the latest of their times. */
function batchOf<T, R>(
  maxItems: number,
  run: (items: readonly T[], now: Date) => Promise<readonly (R | Error)[]>,
): Batcher<Timed<T>, R> {
  return createBatcher<Timed<T>, R>({
    maxItems,
    maxQueued: MAX_QUEUED,
    spacingMs: SPACING_MS,
    run: (timed) =>
      run(
        timed.map(({ item }) => item),
        new Date(Math.max(...timed.map(({ now }) => now.getTime()))),
      ),
  })
}

/** What runs behind calls. */
function background(onError: (error: unknown, what: string) => void) {
  const running = new Set<Promise<unknown>>()
  let closed = false
  return {
    run(what: string, work: () => Promise<unknown>): void {
      const done = work()
        .catch((error: unknown) => onError(error, what))
        .finally(() => running.delete(done))
      running.add(done)
    },
    /** The same, waited for. */
    async during(work: () => Promise<void>): Promise<void> {
      const done = work().finally(() => running.delete(done))
      running.add(done)
      await done
    },
    async idle(): Promise<void> {
      while (running.size > 0) await Promise.all(running)
    },
    close(): void {
      closed = true
    },
    isClosed: () => closed,
  }
}
