/**
 * What a machine can do, measured in a moment at the start: rounds of a small float and integer workload a second.
 *
 * The tier is for scheduling only: a node that lies about it gets work that it returns too late.
 */
import { availableParallelism, totalmem } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Manifest } from 'assay/wire/manifest'

/** Long enough that the compiler has settled, and no start is held up by it. */
const MEASURE_MS = 200
const WARM_UP_MS = 50
/** Work between two looks at the clock, about half a millisecond. */
const SIDE = 48
/** Rounds a second from which on a machine is of tier 2, 3, 4 and 5; a server core of 2023 does about 5,000. */
const TIERS = [1_000, 2_500, 7_500, 15_000] as const

export type Hardware = Manifest['hardware']

export async function measureHardware(): Promise<Hardware> {
  await roundsIn(WARM_UP_MS)
  const score = Math.round((await roundsIn(MEASURE_MS)) / (MEASURE_MS / 1000))
  const cores = availableParallelism()
  return { tier: tierOf(score), cores, memoryBytes: totalmem(), score }
}

function tierOf(score: number): number {
  return 1 + TIERS.filter((least) => score >= least).length
}

async function roundsIn(ms: number): Promise<number> {
  const a = Float64Array.from({ length: SIDE * SIDE }, (_, i) => Math.sin(i))
  const end = performance.now() + ms
  let rounds = 0
  let trace = 0
  while (performance.now() < end) {
    trace += round(a)
    rounds++
    if (rounds % 16 === 0) await nextTurn()
  }
  // Used, so that no compiler may leave the work out.
  return Number.isFinite(trace) ? rounds : 0
}

/** A product of matrices, and a hash over its bits. */
function round(a: Float64Array): number {
  const product = new Float64Array(SIDE * SIDE)
  for (let i = 0; i < SIDE; i++) {
    for (let k = 0; k < SIDE; k++) {
      const factor = a[i * SIDE + k] as number
      for (let j = 0; j < SIDE; j++) {
        const at = i * SIDE + j
        product[at] = (product[at] as number) + factor * (a[k * SIDE + j] as number)
      }
    }
  }
  let hash = 0x811c9dc5
  for (const word of new Uint32Array(product.buffer)) hash = Math.imul(hash ^ word, 0x01000193)
  return hash >>> 0
}
