import { randomUUID } from 'node:crypto'
import { toHex } from 'assay/core/bytes'
import { parseWith } from 'assay/core/codec'
import { AssayError } from 'assay/core/errors'
import { generateKey, nodeId as nodeIdFor } from 'assay/core/keys'
import type { Scope } from 'assay/wire/account'
import { type Manifest, nodeView as nodeViewSchema } from 'assay/wire/manifest'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestNetwork, type TestNetwork } from '../../test/support/network.ts'
import { addNode, nodeIdOf } from '../../test/support/rows.ts'
import { DEFAULT_QUOTA, ensureSubmitter, type Principal } from './accounts.ts'
import {
  deposit,
  heldAccount,
  nodeAccount,
  PENALTIES,
  post,
  stake,
  stakeAccount,
  submitterAccount,
} from './ledger.ts'
import { balances, checkBooks } from './ledger-read.ts'
import { postRecorded, record } from './registry/conduct.ts'
import { openHeartbeats } from './registry/heartbeats.ts'
import { openIncidents, settleIncidents } from './registry/incidents.ts'
import type { Observation } from './registry/node-record.ts'
import { auditRateOf, mayWorkNow, openNodes, readNodes } from './registry/nodes.ts'
import { DEFAULT_NODE_POLICY as policy } from './registry/policy.ts'
import { nodesPage, nodeView } from './registry/views.ts'
import { drainNode, registerNode, sweepNodes } from './registry.ts'

let network: TestNetwork
beforeAll(async () => {
  network = await openTestNetwork()
}, 60_000)
afterAll(() => network?.close())

const NOW = Date.parse('2030-01-01T00:00:00Z')
const balance = async (account: string) => (await balances(network.db, [account])).get(account)
const show = (nodeId: string) => nodeView(network.db, { nodeId, policy })

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    (error: unknown) => (error instanceof AssayError ? error.code : String(error)),
  )
}

async function manifestOf(over: Partial<Manifest> = {}): Promise<Manifest> {
  const { publicKey } = await generateKey()
  return {
    role: 'solver',
    publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
    name: `'); DROP TABLE node; --`,
    operator: 'somebody else',
    region: 'here',
    engine: 'assay/1',
    hardware: { tier: 3, cores: 2, memoryBytes: 1e9, score: 1 },
    runtimes: ['wasm'],
    workKinds: ['wasm'],
    chatModels: [],
    slots: 2,
    ...over,
  }
}

async function principalOf(
  account: string,
  scopes: readonly Scope[] = ['nodes:enrol'],
  credits = 0,
): Promise<Principal> {
  await network.tx(async (tx) => {
    await ensureSubmitter(tx, { name: account })
    await deposit(tx, { account: submitterAccount(account), amount: credits })
  })
  return { keyId: 'k', account, scopes, quota: DEFAULT_QUOTA }
}

describe('registration', () => {
  const register = (manifest: Manifest, principal: Principal) =>
    network.tx((tx) => registerNode(tx, { manifest, principal, policy }))

  test('names the operator by the key that enrols, and takes the stake as far as it goes', async () => {
    const manifest = await manifestOf()
    const id = await register(manifest, await principalOf('olga', ['nodes:enrol'], policy.minStake + 5))
    const view = await show(id)
    expect(parseWith(nodeViewSchema, view, 'node')).toEqual(view)
    expect(view).toMatchObject({
      state: 'online',
      standing: 'probation',
      stake: policy.minStake,
      auditRate: 1,
    })
    expect(view.manifest).toEqual({ ...manifest, operator: 'olga' })
    expect(view.decisions[0]?.code).toBe('registered')
    expect(await balance('submitter:olga')).toBe(5)
    const poor = await register(await manifestOf(), await principalOf('poor', ['nodes:enrol'], 7))
    expect((await show(poor)).stake).toBe(7)
  })

  test('renews what a node says of itself, and forgets nothing of it', async () => {
    const principal = await principalOf('renewed')
    const manifest = await manifestOf()
    const id = await register(manifest, principal)
    await network.db.query("UPDATE node SET standing = 'banned', state = 'offline' WHERE id = $1", [
      Buffer.from(id, 'hex'),
    ])
    await register({ ...manifest, slots: 9 }, principal)
    expect(await show(id)).toMatchObject({ standing: 'banned', state: 'online', manifest: { slots: 9 } })
  })

  test('a node belongs to its operator, whoever else asks, and stays what it is', async () => {
    const manifest = await manifestOf()
    const id = await register(manifest, await principalOf('owner'))
    const thief = await principalOf('thief')
    expect(await codeOf(register({ ...manifest, slots: 1 }, thief))).toBe('wire/forbidden')
    const admin = await principalOf('owner', ['admin'])
    expect(await codeOf(register({ ...manifest, role: 'verifier' }, admin))).toBe('wire/forbidden')
    expect(await show(id)).toMatchObject({ manifest: { slots: 2, operator: 'owner' } })
  })

  test('takes the scope, and for a verifier another one', async () => {
    expect(await codeOf(register(await manifestOf(), await principalOf('reader', ['jobs:read'])))).toBe(
      'wire/forbidden',
    )
    const verifier = await manifestOf({ role: 'verifier' })
    expect(await codeOf(register(verifier, await principalOf('enroller')))).toBe('wire/forbidden')
    const judge = await principalOf('judge', ['verifiers:enrol'])
    expect(await codeOf(register(await manifestOf(), judge))).toBe('wire/forbidden')
    expect(await codeOf(register(verifier, judge))).toBe('resolved')
    const other = await manifestOf({ role: 'verifier' })
    expect(await codeOf(register(other, await principalOf('root', ['admin'])))).toBe('resolved')
  })

  test('a key that is none', async () => {
    const manifest = await manifestOf({ publicKey: { type: 'ed25519', bytes: '00' } })
    expect(await codeOf(register(manifest, await principalOf('short')))).toBe('key/malformed')
  })

  test('the same node at once, at many replicas', async () => {
    const principal = await principalOf('crowd', ['nodes:enrol'], 10 * policy.minStake)
    const manifest = await manifestOf()
    const replicas = [network.db, network.open(), network.open()]
    await Promise.all(
      Array.from({ length: 9 }, (_, i) =>
        (replicas[i % 3] ?? network.db).tx((tx) => registerNode(tx, { manifest, principal, policy })),
      ),
    )
    const key = { type: 'ed25519', bytes: Buffer.from(manifest.publicKey.bytes, 'hex') } as const
    expect((await show(nodeIdFor(key))).stake).toBe(policy.minStake)
  })
})

describe('life signs', () => {
  test('a node that is missed goes offline, and comes back when it is heard from', async () => {
    const id = await network.tx((tx) => addNode(tx, { name: 'silent' }))
    await network.db.query('UPDATE node SET last_seen_at = $2 WHERE id = $1', [
      Buffer.from(id, 'hex'),
      new Date(NOW - 60_000),
    ])
    await sweepNodes(network.db, { policy, now: NOW - 60_000 + policy.offlineAfterMs })
    expect((await show(id)).state).toBe('online')
    await sweepNodes(network.db, { policy, now: NOW })
    expect(await show(id)).toMatchObject({ state: 'offline', decisions: [{ code: 'offline' }] })
    const heartbeats = openHeartbeats(network.db)
    heartbeats.beat({ nodeId: id, running: 0 })
    heartbeats.beat({ nodeId: nodeIdOf('nobody'), running: 0 })
    await heartbeats.close()
    const view = await show(id)
    expect(view.state).toBe('online')
    expect(view.decisions.map(({ code }) => code)).toEqual(['online', 'offline'])
  })

  test('heartbeats that cannot be written are told, and later ones are', async () => {
    const errors: unknown[] = []
    const id = await network.tx((tx) => addNode(tx, { name: 'beating' }))
    const db = network.open()
    await db.close()
    const broken = openHeartbeats(db, (error) => errors.push(error))
    broken.beat({ nodeId: id, running: 0 })
    await broken.close()
    expect(errors).toHaveLength(1)
  })

  test('a node that says goodbye is offline at once, and online when it is there again', async () => {
    const id = await network.tx((tx) => addNode(tx, { name: 'leaving' }))
    const heartbeats = openHeartbeats(network.db)
    const isAway = async () =>
      (await network.db.query('SELECT FROM node WHERE id = $1 AND away', [Buffer.from(id, 'hex')])).count ===
      1
    heartbeats.beat({ nodeId: id, running: 2, isLeaving: true })
    await heartbeats.flush()
    expect([(await show(id)).state, await isAway()]).toEqual(['online', true])
    heartbeats.beat({ nodeId: id, running: 0, isLeaving: true })
    await heartbeats.flush()
    expect([(await show(id)).state, await isAway()]).toEqual(['offline', true])
    heartbeats.beat({ nodeId: id, running: 0 })
    await heartbeats.close()
    expect([(await show(id)).state, await isAway()]).toEqual(['online', false])
    expect((await show(id)).decisions.map(({ code }) => code)).toEqual(['online', 'offline'])
  })

  test('draining is told once, and outlives silence', async () => {
    const id = await network.tx((tx) => addNode(tx, { name: 'drained' }))
    const drain = (drain: boolean) => network.tx((tx) => drainNode(tx, { nodeId: id, drain }))
    await drain(true)
    await drain(true)
    await network.db.query('UPDATE node SET last_seen_at = $2 WHERE id = $1', [
      Buffer.from(id, 'hex'),
      new Date(0),
    ])
    await sweepNodes(network.db, { policy, now: NOW })
    expect(await show(id)).toMatchObject({ state: 'draining' })
    await drain(false)
    const view = await show(id)
    expect(view.state).toBe('online')
    expect(view.decisions.map(({ code }) => code)).toEqual(['undrained', 'drained'])
    const ghost = network.tx((tx) => drainNode(tx, { nodeId: nodeIdOf('ghost'), drain: true }))
    expect(await codeOf(ghost)).toBe('wire/not-found')
  })
})

describe('conduct', () => {
  const see = (observations: readonly Observation[], now = NOW, accepted?: ReadonlyMap<string, number>) =>
    network.tx(async (tx) => {
      const recorded = await record(tx, observations, {
        policy,
        now,
        ...(accepted === undefined ? {} : { accepted }),
      })
      await postRecorded(tx, recorded)
      return recorded
    })
  const clean = (nodeId: string): Observation => ({ nodeId, outcome: 'clean', runtime: 'wasm' })
  const fault = (nodeId: string, once = randomUUID()): Observation => ({
    nodeId,
    outcome: 'fault',
    runtime: 'wasm',
    once,
    code: 'redundancy/lost',
    reason: `gave another answer: '); --`,
  })

  async function staked(name: string, over: Parameters<typeof addNode>[1] | object = {}): Promise<string> {
    return network.tx(async (tx) => {
      const id = await addNode(tx, { name, ...over })
      const { rows } = await tx.query<{ operator: string }>('SELECT operator FROM node WHERE id = $1', [
        Buffer.from(id, 'hex'),
      ])
      const operator = rows[0]?.operator ?? ''
      await deposit(tx, { account: submitterAccount(operator), amount: policy.minStake })
      await stake(tx, { nodeId: id, operator, amount: policy.minStake })
      return id
    })
  }

  const hold = (nodeId: string, amount: number) =>
    network.tx((tx) => post(tx, [{ from: 'issued', to: heldAccount(nodeId), amount, kind: 'hold' }]))

  test('clean audits make a node trusted, and pay out what is held', async () => {
    const id = await staked('good')
    await hold(id, 40)
    await see([clean(id)])
    expect(await balance(nodeAccount(id))).toBe(40)
    const { decisions } = await see(Array.from({ length: 120 }, () => clean(id)))
    expect(decisions.map(({ decision }) => decision.code)).toEqual(['promoted'])
    const view = await show(id)
    expect(view.standing).toBe('trusted')
    expect(view.auditRate).toBe(policy.audit.floor)
    expect(view.decisions[0]).toMatchObject({ code: 'promoted' })
    expect(view.decisions[0]?.reason).toContain('clean audits')
  })

  test('a fault costs stake and what is held, once; enough of them end in quarantine, which ends', async () => {
    const id = await staked('bad')
    await hold(id, 40)
    const before = (await balance(PENALTIES)) ?? 0
    const first = fault(id)
    // A clean audit in the same breath pays nothing out.
    await see([clean(id), first])
    expect(await balance(stakeAccount(id))).toBe(policy.minStake - policy.penalty)
    expect(await balance(heldAccount(id))).toBe(0)
    await see([first])
    expect(await balance(stakeAccount(id))).toBe(policy.minStake - policy.penalty)
    expect(await balance(PENALTIES)).toBe(before + policy.penalty + 40)
    await see([fault(id)])
    const view = await show(id)
    expect(view).toMatchObject({ standing: 'quarantined', faults: 3, stake: 0, auditRate: 1 })
    expect(view.decisions.map(({ code }) => code)).toContain('quarantined')
    expect(view.decisions.find(({ code }) => code === 'fault')?.reason).toContain(`'); --`)
    const [info] = (await readNodes(network.db, [id])).values()
    expect(info && mayWorkNow(info, NOW)).toBe(false)
    await sweepNodes(network.db, { policy, now: NOW + policy.reputation.quarantineMs - 1 })
    expect((await show(id)).standing).toBe('quarantined')
    await sweepNodes(network.db, { policy, now: NOW + policy.reputation.quarantineMs })
    expect(await show(id)).toMatchObject({ standing: 'probation', auditRate: 1 })
  })

  test('a node that is late rests, and keeps its standing', async () => {
    const id = await staked('late')
    await see(Array.from({ length: 20 }, () => ({ nodeId: id, outcome: 'late' as const, runtime: 'wasm' })))
    const nodes = await readNodes(network.db, [id])
    const info = nodes.get(id)
    expect(info?.standing).toBe('probation')
    expect(info && mayWorkNow({ ...info, state: 'online' }, NOW)).toBe(false)
    expect(info && mayWorkNow({ ...info, state: 'online' }, NOW + policy.reputation.quarantineMs)).toBe(true)
    expect(await balance(stakeAccount(id))).toBe(policy.minStake)
  })

  test('counts what was accepted, also of nodes of which nothing else is to be said', async () => {
    const id = await staked('counted')
    await see([], NOW, new Map([[id, 7]]))
    await see([{ nodeId: id, outcome: 'delivered', runtime: 'wasm' }], NOW, new Map([[id, 3]]))
    expect(await show(id)).toMatchObject({ accepted: 10, faults: 0 })
  })

  test('what nodes did that are not registered counts for nothing', async () => {
    expect(await see([fault(nodeIdOf('unknown'))])).toMatchObject({ decisions: [], excused: [] })
  })

  test('many transactions over the same nodes meet in no circle', async () => {
    const ids = await Promise.all(Array.from({ length: 6 }, (_, i) => staked(`shared-${i}`)))
    const replicas = [network.db, network.open(), network.open()]
    await Promise.all(
      Array.from({ length: 18 }, async (_, worker) => {
        const db = replicas[worker % 3] ?? network.db
        for (let round = 0; round < 5; round++) {
          const turn = ids.map((_, i) => ids[(i * 5 + worker + round) % ids.length] as string)
          await db.tx(async (tx) => postRecorded(tx, await record(tx, turn.map(clean), { policy, now: NOW })))
        }
      }),
    )
    for (const info of (await readNodes(network.db, ids)).values()) expect(info.reputation.audits).toBe(90)
  })

  test('a version that fails everywhere is an incident: nobody loses by it, and what was lost comes back', async () => {
    const broken = await Promise.all(
      Array.from({ length: 6 }, (_, i) => staked(`broken-${i}`, { engine: 'engine/broken', tier: 4 })),
    )
    const fine = await Promise.all(
      Array.from({ length: 20 }, (_, i) => staked(`fine-${i}`, { engine: 'engine/fine', tier: 2 })),
    )
    const other = await staked('fraud', { engine: 'engine/fine', tier: 2 })
    await hold(broken[0] as string, 30)
    await see(fine.map(clean))
    const results = []
    for (const id of broken) results.push(await see([fault(id)]))
    expect(results[0]?.excused).toHaveLength(0)
    expect(results.at(-1)?.excused).toHaveLength(1)
    expect(await balance(stakeAccount(broken[0] as string))).toBe(policy.minStake - policy.penalty)
    expect(await openIncidents(network.db, NOW)).toHaveLength(1)
    // Until it is over, they get no work of the kind; others do.
    const runtimesOf = async (id: string) => (await readNodes(network.db, [id])).get(id)?.manifest.runtimes
    expect(await runtimesOf(broken[0] as string)).not.toContain('wasm')
    expect(await runtimesOf(fine[0] as string)).toContain('wasm')
    // A cheat of another version is a cheat.
    expect((await see([fault(other)])).excused).toHaveLength(0)
    await Promise.all([network.db, network.open()].map((db) => settleIncidents(db, { policy, now: NOW })))
    for (const id of broken) {
      expect(await balance(stakeAccount(id))).toBe(policy.minStake)
      expect(await show(id)).toMatchObject({ standing: 'probation', faults: 0 })
    }
    expect(await balance(heldAccount(broken[0] as string))).toBe(30)
    expect(await balance(stakeAccount(other))).toBe(policy.minStake - policy.penalty)
    const codes = (await show(broken[0] as string)).decisions.map(({ code }) => code)
    expect(codes.slice(0, 2)).toEqual(['pardoned', 'fault'])
    await settleIncidents(network.db, { policy, now: NOW + policy.incidentMs - 1 })
    expect(await runtimesOf(broken[0] as string)).not.toContain('wasm')
    expect(await openIncidents(network.db, NOW + policy.incidentMs)).toHaveLength(0)
    await settleIncidents(network.db, { policy, now: NOW + policy.incidentMs })
    expect(await runtimesOf(broken[0] as string)).toContain('wasm')
    const { rows: ended } = await network.db.query("SELECT data FROM event WHERE type = 'incident.ended'")
    expect(ended).toHaveLength(1)
    expect((await checkBooks(network.db)).faults).toEqual([])
  })
})

describe('reading', () => {
  test('pages have each node once', async () => {
    const ids: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await nodesPage(network.db, { cursor, limit: 7, policy })
      ids.push(...page.items.map(({ id }) => id))
      for (const view of page.items) parseWith(nodeViewSchema, view, 'node')
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    const { rows } = await network.db.query<{ id: Uint8Array }>('SELECT id FROM node ORDER BY id')
    expect(ids).toEqual(rows.map(({ id }) => toHex(id)))
    expect(await codeOf(nodesPage(network.db, { cursor: `'--`, limit: 1, policy }))).toBe('wire/malformed')
    expect(await codeOf(show(nodeIdOf('none')))).toBe('wire/not-found')
  })

  test('the cache asks once for many, and again when it is told or time has passed', async () => {
    const id = await network.tx((tx) => addNode(tx, { name: 'cached' }))
    let asked = 0
    const nodes = openNodes({
      query: (...call) => {
        asked++
        return network.db.query(...call)
      },
    })
    await nodes.get([id, nodeIdOf('none')], NOW)
    expect((await nodes.get([id], NOW + 1)).get(id)?.nodeId).toBe(id)
    expect(asked).toBe(1)
    await nodes.get([id], NOW + 2_000)
    nodes.forget(id)
    await nodes.get([id], NOW + 2_000)
    expect(asked).toBe(3)
  })

  test('audits are as many as the job asks for, or as deter', async () => {
    const id = await network.tx((tx) => addNode(tx, { name: 'rated', standing: 'trusted' }))
    const info = (await readNodes(network.db, [id])).get(id)
    if (info === undefined) throw new Error('expected the node')
    const rate = (stake: number, jobShare = 0) =>
      auditRateOf({ ...info, stake }, { jobShare, price: 10, policy })
    expect(rate(policy.minStake, 0.5)).toBe(0.5)
    expect(rate(policy.minStake)).toBeGreaterThan(policy.audit.floor)
    // More than the penalty is not at stake.
    expect(rate(1e9)).toBe(rate(policy.penalty))
  })
})
