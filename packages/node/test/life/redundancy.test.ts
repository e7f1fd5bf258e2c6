import type { LeaseGroup } from 'assay/wire/dispatch'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AUDIT_FUND, heldAccount, nodeAccount, stakeAccount } from '../../src/coordinator/ledger.ts'
import { answer, honestRow } from './answers.ts'
import { openWorld, QUIET_POLICY, type World, type WorldNode } from './world.ts'

let world: World
let nodes: readonly [WorldNode, WorldNode, WorldNode, WorldNode]

beforeAll(async () => {
  world = await openWorld()
  await world.addSubmitter('sue', 1_000_000)
  nodes = [
    await world.addNode('op-a'),
    await world.addNode('op-b'),
    await world.addNode('op-c'),
    await world.addNode('op-d'),
  ]
}, 60_000)
afterAll(() => world?.close())

const redundant = { rows: 1, budget: 30, validation: { redundancy: { share: 1 } } }
const wrongRow = (text: string) => () => Buffer.from(text)

/** Lets the nodes ask in turn until one of them gets the next run; who did it. */
async function nextRun(
  among: readonly WorldNode[],
  row: (node: WorldNode) => typeof honestRow = () => honestRow,
): Promise<WorldNode | undefined> {
  for (const node of among) {
    if ((await world.work(node, { row: row(node), max: 1 })) > 0) return node
  }
  return undefined
}

async function standing(node: WorldNode) {
  const { reputation } = await world.info(node)
  return reputation
}

describe('a second run', () => {
  it('goes to another operator, and pays both when they agree', async () => {
    const [alice, ...others] = nodes
    const id = await world.submit('sue', redundant)
    await world.work(alice)
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 0, audits: 1 })
    // Whoever did it first is not asked again, whatever it asks for.
    expect(await world.lease(alice)).toEqual([])
    const second = (await nextRun(others)) as WorldNode
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 20, faults: 0 })
    const runs = await world.runs(id)
    expect(runs.map(({ state, isResult, audited }) => [state, audited, isResult]).toSorted()).toEqual([
      ['accepted', true, false],
      ['accepted', true, true],
    ])
    for (const node of [alice, second]) {
      expect(await world.balance(nodeAccount(node.id))).toBeGreaterThanOrEqual(10)
      expect(await world.balance(heldAccount(node.id))).toBe(0)
    }
    await world.assertBooks()
  })

  it.each([
    ['of a submitter', 'sue', {}, 1],
    ['of its own operator', 'op-a', {}, 0],
    ['that pays nothing', 'sue', { pricePerSegment: 0, budget: 0 }, 0],
  ] as const)('in a job %s speaks for the first: %s, %o', async (_, submitter, over, audits) => {
    const [alice, ...others] = nodes
    if (submitter !== 'sue') await world.addSubmitter(submitter, 1_000)
    const before = (await standing(alice)).audits
    const id = await world.submit(submitter, { ...redundant, ...over })
    await world.work(alice)
    await nextRun(others)
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
    expect((await standing(alice)).audits).toBe(before + audits)
    await world.assertBooks()
  })

  it('looks like a first run', async () => {
    const [alice, ...others] = nodes
    const id = await world.submit('sue', redundant)
    const first = await world.lease(alice)
    await world.send(alice, await answer(alice, first))
    let second: LeaseGroup[] = []
    let who: WorldNode = alice
    for (const node of others) {
      second = await world.lease(node)
      who = node
      if (second.length > 0) break
    }
    const shape = ([group]: LeaseGroup[]) => {
      const { segments, ...rest } = group as LeaseGroup
      return { ...rest, segments: segments.map(({ from, to, fence }) => ({ from, to, fence })) }
    }
    expect(shape(second)).toEqual(shape(first))
    const ids = [first, second].map(([group]) => group?.segments[0])
    expect(ids[0]?.id).not.toBe(ids[1]?.id)
    expect(ids[0]?.nonce).not.toBe(ids[1]?.nonce)
    // The time in the id is that of the job.
    expect(ids[1]?.id.slice(0, 13)).toBe(ids[0]?.id.slice(0, 13))
    await world.send(who, await answer(who, second))
    await world.life.idle()
    expect(await world.job(id)).toMatchObject({ state: 'accepted' })
  })

  it('is hidden, and hides the first, until both are there', async () => {
    const [alice] = nodes
    const id = await world.submit('sue', redundant)
    await world.work(alice)
    const [first] = await world.runs(id)
    expect(first).toMatchObject({ state: 'committed', isResult: false })
    await world.life.cancelJob({ jobId: id, submitter: 'sue', now: world.now() })
    expect(await world.job(id)).toMatchObject({ state: 'cancelled', spent: 0 })
    await world.sweep()
  })
})

describe('a disagreement', () => {
  it('is decided by a third operator; the loser pays', async () => {
    const [alice, bob, carol, dave] = nodes
    await world.db.query(`UPDATE node SET standing = 'trusted'`)
    const id = await world.submit('sue', redundant)
    const cheat = (node: WorldNode) => (node === alice ? wrongRow('wrong') : honestRow)
    await world.work(alice, { row: wrongRow('wrong') })
    await nextRun([bob, carol, dave], cheat)
    expect(await world.job(id)).toMatchObject({ state: 'running', audits: 2, faults: 0 })
    // Nobody who listens hears of it before it is decided.
    expect(await world.eventTypes(id)).toEqual(['job.submitted'])
    await nextRun([alice, bob, carol, dave], cheat)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', audits: 2, faults: 1, spent: 20 })
    const runs = await world.runs(id)
    expect(runs.map(({ operator, state }) => [operator === 'op-a', state])).toEqual([
      [true, 'rejected'],
      [false, 'accepted'],
      [false, 'accepted'],
    ])
    expect(new Set(runs.map(({ operator }) => operator)).size).toBe(3)
    expect(runs.filter(({ isResult }) => isResult)).toHaveLength(1)
    expect(runs[0]?.reason).toContain('redundancy/outvoted')
    expect((await standing(alice)).failures).toBe(1)
    expect(await world.eventTypes(id)).toEqual([
      'job.submitted',
      'segment.audited',
      'segment.rejected',
      'node.fault',
      'job.accepted',
    ])
    await world.assertBooks()
  })

  it('of three blames nobody, and begins again', async () => {
    const id = await world.submit('sue', redundant)
    const before = await Promise.all(nodes.map(standing))
    for (let i = 0; i < 3; i++) await nextRun(nodes, (node) => wrongRow(`wrong by ${node.operator}`))
    expect(await world.job(id)).toMatchObject({ state: 'running', accepted: 0, faults: 0, audits: 3 })
    const flagged = (await world.runs(id)).slice(0, 3)
    expect(flagged.every(({ state, reason }) => state === 'rejected' && reason?.includes('scattered'))).toBe(
      true,
    )
    const after = await Promise.all(nodes.map(standing))
    expect(after.map(({ failures }) => failures)).toEqual(before.map(({ failures }) => failures))
    expect(after.reduce((sum, { flagged: count }) => sum + count, 0)).toBe(3)
    // The fourth was not in it, and is asked first; then any two that agree settle it.
    await nextRun(nodes)
    await nextRun(nodes)
    expect(await world.job(id)).toMatchObject({ state: 'accepted', spent: 20 })
    const runs = await world.runs(id)
    expect(flagged.map(({ operator }) => operator)).not.toContain(runs[3]?.operator)
    await world.assertBooks()
  })

  it('that never ends sets the segment aside', async () => {
    const id = await world.submit('sue', { ...redundant, maxAttempts: 2 })
    let made = 0
    for (let i = 0; i < 12 && (await world.job(id)).state === 'running'; i++) {
      await nextRun(nodes, () => wrongRow(`wrong ${made++}`))
    }
    expect(await world.job(id)).toMatchObject({ state: 'failed', accepted: 0, spent: 0 })
    expect((await world.job(id)).reason).toContain('set aside after 2 attempts')
    await world.sweep()
    expect((await world.runs(id)).every(({ state }) => state === 'rejected')).toBe(true)
    await world.assertBooks()
  })

  it('without a third operator waits, and says so when the deadline passes', async () => {
    const small = await openWorld()
    await small.addSubmitter('sue', 1000)
    const [x, y] = [await small.addNode('op-x'), await small.addNode('op-y')]
    const id = await small.submit('sue', { ...redundant, deadlineSeconds: 60 })
    await small.work(x)
    await small.work(y, { row: wrongRow('wrong') })
    for (let i = 0; i < 3; i++) {
      await small.sweep(6_000)
      expect(await small.work(x)).toBe(0)
      expect(await small.work(y)).toBe(0)
    }
    expect((await small.runs(id))[2]).toMatchObject({ state: 'queued', reservedFor: null })
    await small.sweep(60_000)
    const job = await small.job(id)
    expect(job).toMatchObject({ state: 'expired', spent: 0 })
    expect(job.reason).toContain('a node of another operator was missing')
    await small.assertBooks()
    await small.close()
  })

  it('is settled by an operator who comes later', async () => {
    const small = await openWorld()
    await small.addSubmitter('sue', 1000)
    const [x, y] = [await small.addNode('op-x'), await small.addNode('op-y')]
    const id = await small.submit('sue', redundant)
    await small.work(x)
    await small.work(y, { row: wrongRow('wrong') })
    const z = await small.addNode('op-z')
    await small.sweep(6_000)
    expect(await small.work(z)).toBe(1)
    expect(await small.job(id)).toMatchObject({ state: 'accepted', spent: 20, faults: 1 })
    await small.close()
  })
})

describe('runs that the network wants', () => {
  it('are paid by the network, and the job pays one', async () => {
    const strict = await openWorld({
      policy: { ...QUIET_POLICY, audit: { ...QUIET_POLICY.audit, floor: 1 } },
    })
    await strict.addSubmitter('sue', 1000)
    const [x, y] = [await strict.addNode('op-x'), await strict.addNode('op-y')]
    const id = await strict.submit('sue', { rows: 3, budget: 30 })
    await strict.work(x)
    await strict.work(y)
    expect(await strict.job(id)).toMatchObject({ state: 'accepted', spent: 30, audits: 3 })
    expect(await strict.balance(AUDIT_FUND)).toBe(-30)
    expect(await strict.balance(nodeAccount(x.id))).toBe(30)
    expect(await strict.balance(nodeAccount(y.id))).toBe(30)
    await strict.assertBooks()
    await strict.close()
  })
})

describe('work with a tolerance', () => {
  it('compares plans by what they mean, and outputs behind addresses', async () => {
    const small = await openWorld()
    await small.addSubmitter('sue', 1000)
    const names = ['op-x', 'op-y', 'op-z']
    const trio = await Promise.all(names.map((name) => small.addNode(name, { runtimes: ['chat'] })))
    await small.db.query(`UPDATE node SET manifest = jsonb_set(manifest, '{chatModels}', '["m"]')`)
    const work = {
      kind: 'chat',
      model: 'm',
      temperature: 0,
      seed: 1,
      maxTokens: 10,
      compare: 'plan',
    } as const
    const id = await small.submit('sue', { ...redundant, work })
    const filler = ' '.repeat(20_000)
    const plans = [
      '[{"name": "a", "arguments": {"x": 1, "y": 2}}]',
      `[{"name": "a", "arguments": {"y": 2, "x": 1}}]${filler}`,
    ]
    let turn = 0
    for (let i = 0; i < 2; i++) {
      for (const node of trio) {
        if ((await small.work(node, { max: 1, row: () => Buffer.from(plans[turn] as string) })) > 0) {
          turn++
          break
        }
      }
    }
    expect(await small.job(id)).toMatchObject({ state: 'accepted', faults: 0, spent: 20 })
    const { rows } = await small.db.query<{ digests: number }>(
      'SELECT count(DISTINCT output_digest) AS digests FROM dispatch WHERE job_id = $1',
      [id],
    )
    expect(rows[0]?.digests).toBe(2)
    await small.close()
  })
})

it('leaves no stake out of a fault', async () => {
  // Nobody staked here: the fault costs what was held, and never makes a stake negative.
  for (const node of nodes) expect(await world.balance(stakeAccount(node.id))).toBe(0)
  await world.assertBooks()
})
