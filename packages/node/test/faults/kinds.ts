/**
 * What can go wrong, as data: each kind draws its details first, so that a seed gives the same sequence again, and
 * says which thing it disturbs; two faults of one thing come one after the other, all others overlap.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Random } from '../network/support/random.ts'
import type { TcpProxy } from '../support/tcp-proxy.ts'
import { FULL, fillDisk } from './full-disk.ts'
import type { Treatment } from './relay.ts'
import type { Service } from './service.ts'
import type { FaultWorld, Member, Way } from './world.ts'

export interface Fault {
  /** What it disturbs. */
  readonly at: string
  /** Resolves when it is over. */
  readonly run: () => Promise<void>
}

type Draw = (world: FaultWorld, random: Random) => Fault

interface Kind {
  /** How often it is drawn, against the others. */
  readonly weight: number
  readonly draw: Draw
}

/** Beyond what signatures may be off by, and below it. */
const FAR_MS = [90_000, 600_000] as const
const NEAR_MS = [1_000, 50_000] as const
/** What holds a lease, or ends one. */
const ABOUT_LEASES = /^\/v1\/(results|failures|leases\/renew)$/
const LEASING = /^\/v1\/(leases|verifications\/lease)$/
/** So that they arrive in this order. */
const APART_MS = 20
const SUBMITTING = /^\/v1\/(jobs|blobs)/

const between = (random: Random, [least, most]: readonly [number, number]) =>
  least + random.below(most - least)
const coordinatorOf: Picker = (world, random) => random.pick(world.coordinators).service
const nodeOf: Picker = (world, random) => random.pick(world.nodes).service
type Picker = (world: FaultWorld, random: Random) => Service

/** It comes back by itself; the next fault of the same one may meet it while it starts. */
function killed(pick: Picker): Draw {
  return (world, random) => {
    const service = pick(world, random)
    const restMs = between(random, [0, 3_000])
    return {
      at: service.name,
      run: async () => {
        await service.end('SIGKILL')
        await pause(restMs)
      },
    }
  }
}

function drained(pick: Picker): Draw {
  return (world, random) => {
    const service = pick(world, random)
    return { at: service.name, run: async () => void (await service.end('SIGTERM')) }
  }
}

/** Stands still, as a machine that swaps, and goes on where it was. */
function frozen(pick: Picker): Draw {
  return (world, random) => {
    const service = pick(world, random)
    const ms = between(random, [500, 6_000])
    return {
      at: service.name,
      run: async () => {
        service.signal('SIGSTOP')
        await pause(ms)
        service.signal('SIGCONT')
      },
    }
  }
}

/** All ways of one client, or one of them. */
function waysOf(world: FaultWorld, random: Random): { readonly at: string; readonly ways: readonly Way[] } {
  const clients = [...world.nodes, world.verifier].map(({ service, ways }) => ({ name: service.name, ways }))
  const { name, ways } = random.pick([...clients, { name: 'submitter', ways: world.submitterWays }])
  return { at: `ways of ${name}`, ways: random.chance(0.5) ? ways : [random.pick(ways)] }
}

/** Disturbs connections for a while. */
function disturbed(
  where: 'clients' | 'database',
  [least, most]: readonly [number, number],
  act: (random: Random) => readonly [begin: (proxy: TcpProxy) => void, end: (proxy: TcpProxy) => void],
): Draw {
  return (world, random) => {
    const ms = between(random, [least, most])
    const [begin, end] = act(random)
    const { at, proxies } = proxiesOf(world, random, where)
    return {
      at,
      run: async () => {
        proxies.forEach(begin)
        await pause(ms)
        proxies.forEach(end)
      },
    }
  }
}

function proxiesOf(world: FaultWorld, random: Random, where: 'clients' | 'database') {
  if (where === 'database') {
    const { service, toDatabase } = random.pick(world.coordinators)
    return { at: `database of ${service.name}`, proxies: [toDatabase] }
  }
  const { at, ways } = waysOf(world, random)
  return { at, proxies: ways.map(({ proxy }) => proxy) }
}

const cut = () => [(proxy: TcpProxy) => proxy.refuse(), (proxy: TcpProxy) => proxy.release()] as const
const held = () => [(proxy: TcpProxy) => proxy.hold(), (proxy: TcpProxy) => proxy.release()] as const
/** The cable is in again, but what was connected over it never hears of that. */
const forgotten = () => [(proxy: TcpProxy) => proxy.hold(), (proxy: TcpProxy) => proxy.open()] as const
const slowed = (random: Random) => {
  const pace = { pieceBytes: random.pick([64, 700, 8_192]), delayMs: between(random, [2, 120]) }
  return [(proxy: TcpProxy) => proxy.slow(pace), (proxy: TcpProxy) => proxy.slow(null)] as const
}

/** Treats some requests of a client in some way, for a while. */
function treated(
  paths: RegExp,
  { share = 1, least = 1_000, most = 4_000 }: { share?: number; least?: number; most?: number },
  treat: (options: { world: FaultWorld; random: Random; over: Promise<void> }) => () => Treatment,
): Draw {
  return (world, random) => {
    const { at, ways } = waysOf(world, random)
    const ms = between(random, [least, most])
    let end: () => void = () => undefined
    const over = new Promise<void>((resolve) => {
      end = resolve
    })
    const next = treat({ world, random, over })
    const chances = Array.from({ length: 64 }, () => random.next() < share)
    let asked = 0
    return {
      at,
      run: async () => {
        for (const { relay } of ways) {
          relay.treat = ({ path }) =>
            paths.test(path) && chances[asked++ % chances.length] ? next() : undefined
        }
        await pause(ms)
        for (const { relay } of ways) relay.treat = null
        end()
      },
    }
  }
}

const repeated: Draw = treated(/^\/v1\//, { share: 0.5 }, ({ world, random }) => {
  const together = random.chance(0.5)
  return () => {
    const { kills } = world.database
    return {
      kind: 'repeat',
      together,
      // What a database forgets in its last moment is excused.
      onAnswers: (answers) => {
        if (world.database.kills === kills) world.repeats.push(answers)
      },
    }
  }
})

/** Requests wait until the leases that they are about are long over; then the last goes first. */
const reordered: Draw = treated(ABOUT_LEASES, { least: 3_500, most: 6_000 }, ({ over }) => {
  const waiting: (() => void)[] = []
  over.then(async () => {
    for (const go of waiting.reverse()) {
      go()
      await pause(APART_MS)
    }
  })
  return () => ({ kind: 'hold-request', until: new Promise((resolve) => waiting.push(resolve)) })
})

const askedLate: Draw = treated(
  /^\/v1\/(leases|results|verifications)/,
  { least: 3_500, most: 6_000 },
  ({ over }) => {
    return () => ({ kind: 'hold-answer', until: over })
  },
)

function lost(paths: RegExp, share: number): Draw {
  return treated(paths, { share }, () => () => ({ kind: 'lose-answer' }))
}

function skewed([least, most]: readonly [number, number]): Draw {
  return (world, random) => {
    const member: Member = random.pick(world.nodes)
    const offsetMs = between(random, [least, most]) * (random.chance(0.5) ? 1 : -1)
    // Some of these meet a heartbeat, even of a node that has nothing to do.
    const ms = between(random, [3_000, 15_000])
    return {
      at: `clock of ${member.service.name}`,
      run: async () => {
        member.setClock(offsetMs)
        await pause(ms)
        member.setClock(0)
      },
    }
  }
}

const full: Draw = (world, random) => {
  const ms = between(random, [1_000, 4_000])
  return { at: FULL, run: () => fillDisk(world, ms) }
}

const databaseKilled: Draw = (world, random) => {
  const downMs = between(random, [0, 3_000])
  return { at: 'database', run: () => world.database.kill(downMs) }
}

export const KINDS: { readonly [kind: string]: Kind } = {
  'kill -9 of a coordinator': { weight: 12, draw: killed(coordinatorOf) },
  'SIGTERM of a coordinator': { weight: 4, draw: drained(coordinatorOf) },
  'kill -9 of the database': { weight: 6, draw: databaseKilled },
  'kill -9 of a node': { weight: 14, draw: killed(nodeOf) },
  'SIGTERM of a node': { weight: 10, draw: drained(nodeOf) },
  'kill -9 of the verifier': { weight: 5, draw: killed((world) => world.verifier.service) },
  'coordinator frozen': { weight: 4, draw: frozen(coordinatorOf) },
  'node frozen': { weight: 6, draw: frozen(nodeOf) },
  'network cut': { weight: 10, draw: disturbed('clients', [200, 3_000], cut) },
  'network silent': { weight: 6, draw: disturbed('clients', [500, 6_000], held) },
  'network silent, connections dead': { weight: 3, draw: disturbed('clients', [500, 4_000], forgotten) },
  'network slow': { weight: 8, draw: disturbed('clients', [1_000, 6_000], slowed) },
  'database cut': { weight: 6, draw: disturbed('database', [100, 2_000], cut) },
  'database silent': { weight: 4, draw: disturbed('database', [500, 5_000], held) },
  'database slow': { weight: 5, draw: disturbed('database', [1_000, 4_000], slowed) },
  'requests repeated': { weight: 12, draw: repeated },
  'requests out of order and late': { weight: 7, draw: reordered },
  'answers late': { weight: 6, draw: askedLate },
  'answers of leases lost': { weight: 4, draw: lost(LEASING, 0.5) },
  'answers to results lost': { weight: 6, draw: lost(ABOUT_LEASES, 0.7) },
  'answers to the submitter lost': { weight: 8, draw: lost(SUBMITTING, 0.5) },
  'clock far off': { weight: 8, draw: skewed(FAR_MS) },
  'clock somewhat off': { weight: 4, draw: skewed(NEAR_MS) },
  'disk full': { weight: 5, draw: full },
}
