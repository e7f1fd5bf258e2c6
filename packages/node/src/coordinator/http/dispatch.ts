/** The life of jobs as the handlers want it: with the time, and counted. */
import { toHex } from 'assay/core/bytes'
import type { JobView } from 'assay/wire/job'
import type { Metrics } from '../../service/metrics.ts'
import type { Database } from '../../store/database.ts'
import { SEGMENTS_AT_INTAKE } from '../life/intake.ts'
import type { JobFacts } from '../life/job-facts.ts'
import type { Life } from '../life/life.ts'
import type { BlobAccess } from './blob-access.ts'
import type { Dispatch, JobScope, Jobs } from './deps.ts'
import { jobResult } from './job-result.ts'
import { openJobViews } from './job-views.ts'

export interface LifeOverHttp {
  readonly life: Life
  readonly db: Database
  readonly blobs: BlobAccess
  readonly metrics: Metrics
  readonly now: () => number
}

export function jobsOf({ life, db, blobs, metrics, now }: LifeOverHttp): Jobs {
  const views = openJobViews(db, now)
  const submitted = metrics.counter({ name: 'jobs_submitted_total', help: 'Jobs that were taken.' })
  const segments = metrics.counter({
    name: 'segments_submitted_total',
    help: 'Segments of the jobs that were taken.',
  })
  return {
    async submitJob(submission) {
      const facts = await life.submitJob({ ...submission, now: new Date(now()) })
      submitted.add(1)
      segments.add(facts.segments)
      return freshView(facts)
    },
    showJob: views.show,
    listJobs: views.list,
    listSegments: views.segments,
    async cancelJob(id, scope) {
      const submitter = scope.account === 'all' ? null : scope.account
      await life.cancelJob({ jobId: id, submitter, now: new Date(now()) })
      return views.show(id, scope)
    },
    async jobResult(id: string, scope: JobScope) {
      return jobResult({ db, readBlob: blobs.readResult }, await views.show(id, scope))
    },
  }
}

export function dispatchOf({ life, metrics, now }: LifeOverHttp): Dispatch {
  const leased = metrics.counter({ name: 'segments_leased_total', help: 'Leases that were given.' })
  const results = metrics.counter({
    name: 'results_total',
    help: 'Results that nodes returned, by what became of them at once.',
    labels: ['state'],
  })
  const failures = metrics.counter({ name: 'failures_total', help: 'Leases that nodes handed back.' })
  const verdicts = metrics.counter({
    name: 'verdicts_total',
    help: 'Verdicts of verifiers.',
    labels: ['verdict'],
  })
  const at = () => new Date(now())
  return {
    async leaseSegments(node, max) {
      const groups = await life.leaseSegments(node, { max, now: at() })
      for (const group of groups) leased.add(group.segments.length)
      return groups
    },
    renewLeases: (nodeId, leases) => life.renewLeases(nodeId, { leases: [...leases], now: at() }),
    async takeResults(node, request) {
      const { outcomes } = await life.takeResults(node, { request, now: at() })
      for (const { state } of outcomes) results.add(1, { state })
      return outcomes
    },
    async takeFailures({ nodeId }, request) {
      failures.add(request.failures.length)
      await life.takeFailures(nodeId, { request, now: at() })
    },
    leaseVerifications: (verifier, max) => life.leaseVerifications(verifier, { max, now: at() }),
    async takeVerdicts(verifier, request) {
      const stale = await life.takeVerdicts(verifier, { request, now: at() })
      for (const { isVerified } of request.verdicts) {
        verdicts.add(1, { verdict: isVerified ? 'verified' : 'rejected' })
      }
      return stale
    },
  }
}

/** A job that was taken this moment, without asking the database for it. */
function freshView({ id, spec, segments: total, seedCommitment, deadlineAt }: JobFacts): JobView {
  return {
    id,
    state: total <= SEGMENTS_AT_INTAKE ? 'running' : 'submitted',
    spec,
    segments: { total, queued: total, leased: 0, committed: 0, accepted: 0, poisoned: 0 },
    audits: 0,
    faults: 0,
    seedCommitment: toHex(seedCommitment),
    reason: null,
    escrow: spec.budget,
    spent: 0,
    submittedAt: new Date(deadlineAt.getTime() - 1000 * spec.deadlineSeconds).toISOString(),
    deadlineAt: deadlineAt.toISOString(),
    endedAt: null,
    outputRoot: null,
    receipt: 'none',
  }
}
