/**
 * The leases that a node holds: from the moment in which it gets one until its result is answered.
 *
 * A lease that is lost (cancelled, expired, given to another) is dropped at once; what it computed belongs to nobody.
 */
import { AssayError } from 'assay/core/errors'
import type { LeaseGroup, SegmentLease } from 'assay/wire/dispatch'

export interface Held {
  readonly lease: SegmentLease
  readonly group: Omit<LeaseGroup, 'segments'>
  /** Aborts when the lease is lost, or the node gives up. */
  readonly signal: AbortSignal
  readonly drop: (reason: AssayError) => void
  readonly leasedAtMs: number
  renewAtMs: number
}

export interface HeldLeases {
  readonly size: number
  /** New leases; one that is held already, under an older fence, is dropped. */
  add(group: LeaseGroup, nowMs: number): Held[]
  isHeld(held: Held): boolean
  /** It is answered, or given back. */
  end(held: Held): void
  /** The coordinator says that these are no longer ours. */
  lose(ids: readonly string[]): void
  /** Those whose renewal is due, and when the next one will be; null when nothing is held. */
  due(nowMs: number): { readonly held: readonly Held[]; readonly nextAtMs: number | null }
  renewed(held: readonly Held[], nowMs: number): void
  all(): Held[]
  /** Resolves when one has ended or was lost, or the signal aborts. */
  changed(signal: AbortSignal): Promise<void>
}

/** Twice more before it expires, if one renewal is lost. */
const RENEWALS_A_LEASE = 3

export function heldLeases(): HeldLeases {
  const leases = new Map<string, Held>()
  const waiting = new Set<() => void>()
  const wake = () => {
    for (const resolve of [...waiting]) resolve()
  }
  const isHeld = (held: Held) => leases.get(held.lease.id) === held
  const nextRenewal = (seconds: number, nowMs: number) => nowMs + (seconds * 1000) / RENEWALS_A_LEASE
  const lose = (ids: readonly string[]) => {
    for (const id of ids) {
      const held = leases.get(id)
      leases.delete(id)
      held?.drop(new AssayError('node/lease-lost', 'the lease of the segment is no longer this node’s'))
    }
    wake()
  }
  return {
    get size() {
      return leases.size
    },
    add({ segments, ...group }, nowMs) {
      return segments.map((lease) => {
        lose([lease.id])
        const stop = new AbortController()
        const held: Held = {
          lease,
          group,
          signal: stop.signal,
          drop: (reason) => stop.abort(reason),
          leasedAtMs: nowMs,
          renewAtMs: nextRenewal(group.leaseSeconds, nowMs),
        }
        leases.set(lease.id, held)
        return held
      })
    },
    isHeld,
    end(held) {
      if (isHeld(held)) leases.delete(held.lease.id)
      wake()
    },
    lose,
    due(nowMs) {
      const all = [...leases.values()]
      const held = all.filter(({ renewAtMs }) => renewAtMs <= nowMs)
      const nextAtMs = all.length === 0 ? null : Math.min(...all.map(({ renewAtMs }) => renewAtMs))
      return { held, nextAtMs }
    },
    renewed(renewed, nowMs) {
      for (const held of renewed) held.renewAtMs = nextRenewal(held.group.leaseSeconds, nowMs)
    },
    all: () => [...leases.values()],
    changed: (signal) =>
      new Promise((resolve) => {
        const done = () => {
          waiting.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        signal.addEventListener('abort', done, { once: true })
        waiting.add(done)
        if (signal.aborted) done()
      }),
  }
}
