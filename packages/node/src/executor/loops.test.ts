import type { LeaseGroup, SegmentLease } from 'assay/wire/dispatch'
import { expect, it } from 'vitest'
import { SILENT_LOG } from '../service/log.ts'
import { createMetrics } from '../service/metrics.ts'
import { adaptiveCapacity } from './capacity.ts'
import { type HeldLeases, heldLeases } from './held.ts'
import type { Link } from './link.ts'
import { leasing } from './loops.ts'
import { nodeMetrics } from './node-metrics.ts'

const SLOTS = 2
const GAUGES = { heldSegments: () => 0, slots: SLOTS, cacheBytes: () => 0, clockOffsetMs: () => 0 }

function lease(number: number): SegmentLease {
  const id = `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`
  return { id, fence: 1, from: number, to: number + 1, nonce: '00'.repeat(32) }
}

function group(segments: SegmentLease[]): LeaseGroup {
  return {
    jobId: '00000000-0000-7000-8000-000000000000',
    work: { kind: 'chat', model: 'tiny', temperature: 0, seed: 1, maxTokens: 8, compare: 'text' },
    input: { inline: '' },
    inputCid: 'bafkqaaa',
    falsePositiveRate: null,
    guessProbability: 0,
    leaseSeconds: 30,
    deadlineAt: '2030-01-01T00:00:00.000Z',
    segments,
  }
}

/** Answers requests for work one after the other; ends the loop at the end. */
async function ask(answers: readonly ((leases: HeldLeases) => LeaseGroup[])[]): Promise<number[]> {
  const leases = heldLeases()
  const stop = new AbortController()
  const waits: number[] = []
  await leasing({
    link: {
      client: {
        lease: async ({ body: { waitMs } }: { body: { waitMs: number } }) => {
          const groups = (answers[waits.length] as (typeof answers)[number])(leases)
          waits.push(waitMs)
          if (waits.length === answers.length) stop.abort()
          // As an answer over a network: what ends meanwhile has ended before it is looked at.
          await new Promise((resolve) => setTimeout(resolve, 1))
          return { groups, drain: false }
        },
      },
      // The one call of the client that the loop makes.
    } as unknown as Link,
    leases,
    log: SILENT_LOG,
    metrics: nodeMetrics(createMetrics(), GAUGES),
    enrol: async () => undefined,
    slots: SLOTS,
    signal: stop.signal,
    runner: { run: () => undefined },
    capacity: adaptiveCapacity(SLOTS),
  })
  return waits
}

const first = () => [group([lease(1), lease(2)])]
const none = () => []

it('waits where its slots are empty, and asks for more at once where they are full', async () => {
  const [whenEmpty, whenFull] = await ask([first, none])
  expect(whenEmpty).toBeGreaterThan(0)
  expect(whenFull).toBe(0)
})

it('goes on asking when all segments ended while it asked for more', async () => {
  const waits = await ask([
    first,
    (leases) => {
      for (const held of leases.all()) leases.end(held)
      return []
    },
    none,
  ])
  expect(waits).toHaveLength(3)
  expect(waits[2]).toBeGreaterThan(0)
})
