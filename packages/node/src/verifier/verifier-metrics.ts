/** What a verifier measures of itself; the names are in docs/metrics.md. */
import { WORK_KINDS, type WorkKind } from 'assay/wire/work'
import type { Metrics } from '../service/metrics.ts'

export interface VerifierMetrics {
  checked(check: {
    readonly verdict: 'verified' | 'rejected'
    readonly kind: WorkKind
    readonly samples: number
    readonly seconds: number
  }): void
  /** It could not be done here, and is somebody else's. */
  handedBack(kind: WorkKind): void
  callFailed(operation: 'lease' | 'heartbeat' | 'verdicts'): void
}

export interface VerifierGauges {
  readonly underWay: () => number
  readonly parallel: number
  readonly cacheBytes: () => number
}

export function verifierMetrics(metrics: Metrics, gauges: VerifierGauges): VerifierMetrics {
  const checks = metrics.counter({
    name: 'verifier_checks_total',
    help: 'Results that this verifier was given, by what became of them.',
    labels: ['verdict', 'kind'],
  })
  const samples = metrics.counter({
    name: 'verifier_samples_total',
    help: 'Rows that this verifier computed again and looked up.',
    labels: ['kind'],
  })
  const seconds = metrics.seconds({
    name: 'verifier_check_seconds',
    help: 'Time of one check, from fetching the result to its verdict.',
    labels: ['kind'],
  })
  const failures = metrics.counter({
    name: 'verifier_call_failures_total',
    help: 'Requests to the coordinator that failed and are tried again.',
    labels: ['operation'],
  })
  const gauge = (name: string, help: string, read: () => number) => metrics.gauge({ name, help, read })
  gauge('verifier_checks_under_way', 'Checks that this verifier is at.', gauges.underWay)
  gauge('verifier_slots', 'Checks that this verifier does at once.', () => gauges.parallel)
  gauge('verifier_cache_bytes', 'Bytes in the cache of models, modules and inputs.', gauges.cacheBytes)
  // So that rates start at zero instead of at the first event.
  for (const kind of WORK_KINDS) samples.add(0, { kind })
  return {
    checked({ verdict, kind, samples: count, seconds: took }) {
      checks.add(1, { verdict, kind })
      samples.add(count, { kind })
      seconds.observe(took, { kind })
    },
    handedBack: (kind) => checks.add(1, { verdict: 'handed-back', kind }),
    callFailed: (operation) => failures.add(1, { operation }),
  }
}
