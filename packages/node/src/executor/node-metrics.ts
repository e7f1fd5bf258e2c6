/** What a node measures of itself; the names are in docs/guides/node.md. */
import { WORK_KINDS, type WorkKind } from 'assay/wire/work'
import type { Metrics } from '../service/metrics.ts'
import type { Outcome } from './outbox.ts'

export interface NodeMetrics {
  outcome(outcome: Outcome | 'lost', kind: WorkKind): void
  executed(executed: { readonly rows: number; readonly seconds: number; readonly kind: WorkKind }): void
  leased(segments: number, waitedSeconds: number): void
  callFailed(operation: 'lease' | 'renew' | 'heartbeat'): void
}

export interface NodeGauges {
  readonly heldSegments: () => number
  readonly slots: number
  readonly cacheBytes: () => number
  readonly clockOffsetMs: () => number
}

export function nodeMetrics(metrics: Metrics, gauges: NodeGauges): NodeMetrics {
  const outcomes = metrics.counter({
    name: 'node_segments_total',
    help: 'Segments that this node answered or lost, by what became of them.',
    labels: ['outcome', 'kind'],
  })
  const rows = metrics.counter({
    name: 'node_rows_total',
    help: 'Rows that this node computed.',
    labels: ['kind'],
  })
  const seconds = metrics.seconds({
    name: 'node_execution_seconds',
    help: 'Time that bundles of segments took to compute.',
    labels: ['kind'],
  })
  const leases = metrics.counter({ name: 'node_leases_total', help: 'Segments that this node was given.' })
  const waits = metrics.seconds({
    name: 'node_lease_wait_seconds',
    help: 'Time from asking for work to getting some or none.',
  })
  const failures = metrics.counter({
    name: 'node_call_failures_total',
    help: 'Requests to the coordinator that failed and are tried again.',
    labels: ['operation'],
  })
  const gauge = (name: string, help: string, read: () => number) => metrics.gauge({ name, help, read })
  gauge('node_held_segments', 'Segments that this node holds leases of.', gauges.heldSegments)
  gauge('node_slots', 'Segments that this node may hold.', () => gauges.slots)
  gauge('node_cache_bytes', 'Bytes in the cache of models, modules and inputs.', gauges.cacheBytes)
  gauge('node_clock_offset_seconds', 'How far the clock of this machine is behind the coordinator’s.', () => {
    return gauges.clockOffsetMs() / 1000
  })
  // So that rates start at zero instead of at the first event.
  for (const kind of WORK_KINDS) rows.add(0, { kind })
  return {
    outcome: (outcome, kind) => outcomes.add(1, { outcome, kind }),
    executed(executed) {
      rows.add(executed.rows, { kind: executed.kind })
      seconds.observe(executed.seconds, { kind: executed.kind })
    },
    leased(segments, waitedSeconds) {
      leases.add(segments)
      waits.observe(waitedSeconds)
    },
    callFailed: (operation) => failures.add(1, { operation }),
  }
}
