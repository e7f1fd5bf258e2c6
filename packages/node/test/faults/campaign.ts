/** Faults in their order: drawn from a seed, run over one another, and healed at the end. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../network/support/random.ts'
import { type Fault, KINDS } from './kinds.ts'
import type { FaultWorld } from './world.ts'

/** Between the beginnings of two faults. */
const SHORTEST_GAP_MS = 100
const LONGEST_GAP_MS = 1_900

export interface Drawn extends Fault {
  readonly kind: string
  readonly gapMs: number
}

/** Every kind that `only` names once, in some order, then as often as its weight says. */
export function drawFaults(
  world: FaultWorld,
  { random, count, only }: { readonly random: Random; readonly count: number; readonly only: RegExp },
): Drawn[] {
  const kinds = Object.entries(KINDS).filter(([kind]) => only.test(kind))
  const first = shuffled(
    kinds.map(([kind]) => kind),
    random,
  )
  const bag = kinds.flatMap(([kind, { weight }]) => Array<string>(weight).fill(kind))
  return Array.from({ length: count }, (_, i) => {
    const kind = first[i] ?? random.pick(bag)
    const fault = (KINDS[kind] as (typeof KINDS)[string]).draw(world, random)
    const gapMs = SHORTEST_GAP_MS + random.below(LONGEST_GAP_MS - SHORTEST_GAP_MS)
    return { kind, ...fault, gapMs }
  })
}

/** Resolves when the last one is over. Those of one thing wait for one another. */
export async function runFaults(drawn: readonly Drawn[]): Promise<void> {
  const last = new Map<string, Promise<void>>()
  for (const { at, run, gapMs } of drawn) {
    const after = (last.get(at) ?? Promise.resolve()).then(run)
    after.catch(() => undefined)
    last.set(at, after)
    await pause(gapMs)
  }
  await Promise.all(last.values())
}

/** Takes back whatever a fault may have left. */
export async function heal(world: FaultWorld): Promise<void> {
  const members = [...world.nodes, world.verifier]
  for (const { proxy, relay } of [...members.flatMap(({ ways }) => ways), ...world.submitterWays]) {
    relay.treat = null
    proxy.slow(null)
    proxy.release()
  }
  for (const { toDatabase } of world.coordinators) {
    toDatabase.slow(null)
    toDatabase.release()
  }
  for (const member of members) member.setClock(0)
  const services = [...members, ...world.coordinators].map(({ service }) => service)
  await Promise.all(services.map((service) => service.serving()))
}

function shuffled<T>(from: readonly T[], random: Random): T[] {
  return from
    .map((item) => ({ item, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
