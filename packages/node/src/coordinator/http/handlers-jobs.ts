/** Jobs of submitters, and the events of jobs and of the network. */
import { AssayError } from 'assay/core/errors'
import type { JobView } from 'assay/wire/job'
import { isFinal } from 'assay/wire/life'
import type { Queryable } from '../../store/database.ts'
import type { Principal } from '../accounts.ts'
import { readEvents } from '../events.ts'
import { uuidAt } from '../life/uuid.ts'
import type { CoordinatorDeps, EventSource, JobScope, Jobs } from './deps.ts'
import type { HandlersOf } from './handler.ts'
import { pageAnswer, pageOptions } from './page.ts'

/** Events that are read at once. */
const EVENTS_PAGE = 500
/** Come often, and end nothing. */
const PASSING_EVENTS = ['job.submitted', 'job.progress']

export function jobHandlers(
  deps: CoordinatorDeps,
): HandlersOf<
  | 'submitJob'
  | 'listJobs'
  | 'showJob'
  | 'listSegments'
  | 'jobResult'
  | 'jobReceipt'
  | 'jobEvents'
  | 'cancelJob'
  | 'networkEvents'
> {
  const { db, jobs, sealing, feed, reservations, now } = deps
  return {
    submitJob: async ({ body: spec, bytes, idempotencyKey, caller: { account } }) => {
      const submission = { submitter: account, spec }
      if (idempotencyKey === undefined) return jobs.submitJob(submission)
      const fresh = uuidAt(now())
      const reservation = { account, key: idempotencyKey, operation: 'submitJob', body: bytes, plan: fresh }
      const id = (await reservations.reserve(reservation)) as string
      return submitOnce(jobs, { ...submission, id }, { isFirst: id === fresh })
    },
    listJobs: async ({ query: { state, ...page }, caller }) =>
      pageAnswer(await jobs.listJobs(scopeOf(caller), { ...pageOptions(page), state })),
    showJob: ({ params: { id }, caller }) => jobs.showJob(id, scopeOf(caller)),
    listSegments: async ({ params: { id }, query, caller }) =>
      pageAnswer(await jobs.listSegments(id, { ...scopeOf(caller), ...pageOptions(query) })),
    jobResult: ({ params: { id }, caller }) => jobs.jobResult(id, scopeOf(caller)),
    jobReceipt: async ({ params: { id }, caller }) => ({
      json: await sealing.jobReceipt(id, scopeOf(caller)),
    }),
    cancelJob: ({ params: { id }, caller }) => jobs.cancelJob(id, scopeOf(caller)),
    jobEvents: async ({ params: { id }, lastEventId = 0, caller }) => {
      const isOver = async () => isJobOver(await jobs.showJob(id, scopeOf(caller)))
      const wasOver = await isOver()
      const { account } = caller
      // All events of a job that is over are there: nothing is waited for.
      if (wasOver) return { account, open: () => replay(db, { id, after: lastEventId }) }
      return {
        account,
        open: (stop) =>
          untilOver(feed.stream({ after: lastEventId, jobId: id, signal: stop }), {
            isOver,
            rest: (after) => replay(db, { id, after }),
          }),
      }
    },
    networkEvents: async ({ lastEventId, caller }) => ({
      account: caller.account,
      open: (stop) => feed.stream({ after: lastEventId ?? 'now', signal: stop }),
    }),
  }
}

/** Administrators see the jobs of all. */
function scopeOf({ account, scopes }: Principal): JobScope {
  return { account: scopes.includes('admin') ? 'all' : account }
}

/** The same submission makes one job: whoever comes second is shown what the first made. */
async function submitOnce(
  jobs: Jobs,
  submission: Parameters<Jobs['submitJob']>[0] & { readonly id: string },
  { isFirst }: { readonly isFirst: boolean },
): Promise<JobView> {
  const { id, submitter } = submission
  const shown = isFirst ? undefined : await shownJob(jobs, id, submitter)
  if (shown !== undefined) return shown
  try {
    return await jobs.submitJob(submission)
  } catch (error) {
    // Two at once: one made it, and the other could not any more.
    const made = await shownJob(jobs, id, submitter)
    if (made !== undefined) return made
    throw error
  }
}

async function shownJob(jobs: Jobs, id: string, account: string): Promise<JobView | undefined> {
  try {
    return await jobs.showJob(id, { account })
  } catch (error) {
    if (error instanceof AssayError && error.code === 'wire/not-found') return undefined
    throw error
  }
}

/** Ended, with its receipt if it gets one: no event of it comes any more. */
function isJobOver({ state, receipt }: JobView): boolean {
  return isFinal(state) && receipt !== 'pending'
}

async function* replay(
  db: Queryable,
  { id, after }: { readonly id: string; readonly after: number },
): EventSource {
  for (let last = after; ; ) {
    const range = { after: last, upTo: Number.MAX_SAFE_INTEGER, jobIds: [id], limit: EVENTS_PAGE }
    const events = await readEvents(db, range)
    yield* events
    if (events.length < EVENTS_PAGE) return
    last = events.at(-1)?.id ?? last
  }
}

/** What comes, up to the last event of the job. */
async function* untilOver(
  events: EventSource,
  {
    isOver,
    rest,
  }: { readonly isOver: () => Promise<boolean>; readonly rest: (after: number) => EventSource },
): EventSource {
  for await (const event of events) {
    yield event
    const mayEnd = /^(job|receipt)\./.test(event.type) && !PASSING_EVENTS.includes(event.type)
    if (!mayEnd || !(await isOver())) continue
    // It may have been over for a while, when this event was read.
    yield* rest(event.id)
    return
  }
}
