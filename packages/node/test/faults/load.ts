/**
 * Jobs, again and again: each under a key of its own, submitted until an answer comes, some of them once more after
 * that. What was promised is written down here, to be compared with what the network says when all is over.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { AssayError } from 'assay/core/errors'
import type { Client } from 'assay/wire/client'
import type { JobView } from 'assay/wire/job'
import { isFinal } from 'assay/wire/life'
import { submitJob, waitForJob } from 'assay/wire/submit'
import { digits } from '../network/support/digits.ts'
import { type Random, seededRandom } from '../network/support/random.ts'
import { squares, type TestJob } from '../network/support/work.ts'

/**
 * Jobs that have not ended: more than all nodes can hold, beside those that wait for checks that a verifier took and
 * never heard of, which come back after two minutes.
 */
const MOST_OPEN = 60
const RETRY_MS = 250
const LOOK_MS = 1_000
/** Short, so that whoever falls silent loses it while the test runs. */
const LEASE_SECONDS = 3
/** Long: nothing here is meant to run out. */
const COMMON = { leaseSeconds: LEASE_SECONDS, maxAttempts: 10, deadlineSeconds: 3_600 }
const SAMPLING = { share: 0.5, confidence: 0.9, fakedShare: 0.25 }

export interface Submitted {
  readonly key: string
  readonly job: TestJob
  /** Every id that an answer gave: one. */
  readonly ids: Set<string>
  ended: JobView | null
}

export interface Load {
  readonly submitted: readonly Submitted[]
  /** Errors that the submitter met, by code. */
  readonly errors: ReadonlyMap<string, number>
  /** Submits no more; resolves when all that was submitted has ended. */
  finish(): Promise<void>
}

export async function startLoad(
  clients: readonly Client[],
  { seed, most, signal }: { readonly seed: number; readonly most: number; readonly signal: AbortSignal },
): Promise<Load> {
  const random = seededRandom(seed ^ 0x10ad)
  // Every request listens to it.
  setMaxListeners(0, signal)
  const models = [await digits(8, { ...COMMON, segmentRows: 4, validation: { sampling: SAMPLING } })]
  const submitted: Submitted[] = []
  const errors = new Map<string, number>()
  const open = new Set<Promise<void>>()
  let isFinishing = false

  /** Until it works: what does not pass ends the test. */
  const insist = async <T>(call: (client: Client) => Promise<T>): Promise<T> => {
    for (;;) {
      signal.throwIfAborted()
      try {
        return await call(random.pick(clients))
      } catch (error) {
        const code = error instanceof AssayError ? error.code : String(error)
        errors.set(code, (errors.get(code) ?? 0) + 1)
        await pause(RETRY_MS)
      }
    }
  }
  const live = async (each: Submitted): Promise<void> => {
    const { draft, input, content } = each.job
    const submit = async () => {
      const { id } = await insist((client) =>
        submitJob(client, draft, { input, content, idempotencyKey: each.key, signal }),
      )
      each.ids.add(id)
      return id
    }
    const id = await submit()
    if (random.chance(0.3)) await submit()
    if (random.chance(0.2)) {
      each.ended = await insist((client) => waitForJob(client, id, { signal }))
      return
    }
    for (;;) {
      const view = await insist((client) => client.showJob({ params: { id } }, { signal }))
      if (isFinal(view.state)) {
        each.ended = view
        return
      }
      await pause(LOOK_MS)
    }
  }
  const run = async () => {
    for (let number = 0; !isFinishing && number < most; number++) {
      while (open.size >= MOST_OPEN) await Promise.race(open)
      if (isFinishing) return
      const job = random.chance(0.1) ? (models[0] as TestJob) : drawJob(number, random)
      const each: Submitted = { key: `job-${seed}-${number}`, job, ids: new Set(), ended: null }
      submitted.push(each)
      const living = live(each).finally(() => open.delete(living))
      living.catch(() => undefined)
      open.add(living)
    }
  }
  const running = run()
  running.catch(() => undefined)
  return {
    submitted,
    errors,
    async finish() {
      isFinishing = true
      await running
      while (open.size > 0) await Promise.all(open)
    },
  }
}

/** Mostly small ones; some whose input and outputs are too large to travel inline, and are uploaded. */
function drawJob(number: number, random: Random): TestJob {
  const first = number * 100_000
  if (random.chance(0.08)) {
    return squares(2_400, {
      ...COMMON,
      first,
      segmentRows: 1_200,
      validation: { redundancy: { share: 0.3 } },
    })
  }
  const validation = random.pick([
    {},
    {},
    { redundancy: { share: 0.3 } },
    { redundancy: { share: 1 } },
    { sampling: SAMPLING },
    { redundancy: { share: 0.2 }, sampling: SAMPLING },
  ])
  return squares(4 + random.below(28), { ...COMMON, first, segmentRows: 4, validation })
}
