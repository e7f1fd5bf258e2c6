/**
 * Any order of what submitters, nodes, verifier and time do, over two replicas at once, keeps the promises: no segment
 * is lost, nothing is settled twice, credits neither appear nor vanish, and a cheat alone never gets its result accepted
 * where every segment runs twice.
 */
import { createHash } from 'node:crypto'
import { AssayError } from 'assay/core/errors'
import { encodeRows } from 'assay/task/rows'
import type { LeaseGroup, ResultsRequest } from 'assay/wire/dispatch'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Life } from '../../src/coordinator/life/life.ts'
import { answer, honestRow, verdictOf } from './answers.ts'
import { INPUT_CID, openWorld, type World, type WorldNode } from './world.ts'

const RUNS = 15
const MAX_GROUPS = 24
/** The fifth node's operator cheats wherever it does. */
const NODES = ['op-a', 'op-a', 'op-b', 'op-c', 'op-cheat', 'op-d']
const CHEAT = 4
const VALIDATIONS = [
  {},
  { redundancy: { share: 1 } },
  { redundancy: { share: 0.5 } },
  { sampling: { fakedShare: 1 } },
  { sampling: { fakedShare: 1, share: 0.5 }, redundancy: { share: 1 } },
]

interface Held {
  readonly node: number
  readonly groups: LeaseGroup[]
}

type Step =
  | {
      readonly do: 'submit'
      readonly rows: number
      readonly validation: number
      readonly maxAttempts: number
    }
  | { readonly do: 'lease'; readonly node: number; readonly max: number }
  | {
      readonly do: 'answer'
      readonly held: number
      readonly how: 'well' | 'wrong' | 'malformed' | 'twice' | 'foreign'
    }
  | { readonly do: 'fail'; readonly held: number; readonly retryElsewhere: boolean }
  | { readonly do: 'renew'; readonly held: number }
  | { readonly do: 'verify' }
  | { readonly do: 'wait'; readonly seconds: number }
  | { readonly do: 'cancel'; readonly job: number }

const nat = fc.nat({ max: 1000 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('submit' as const),
      rows: fc.integer({ min: 1, max: 6 }),
      validation: fc.nat({ max: VALIDATIONS.length - 1 }),
      maxAttempts: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('lease' as const),
      node: fc.nat({ max: NODES.length - 1 }),
      max: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      held: nat,
      how: fc.constantFrom('well', 'well', 'well', 'wrong', 'malformed', 'twice', 'foreign'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('fail' as const), held: nat, retryElsewhere: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), held: nat }) },
  { weight: 2, arbitrary: fc.constant({ do: 'verify' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 6, 40) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), job: nat }) },
)

let world: World
let replicas: readonly [Life, Life]

beforeAll(async () => {
  world = await openWorld()
  replicas = [world.life, world.replica()]
  await world.addSubmitter('sue', 1e12)
}, 60_000)
afterAll(() => world?.close())

it('keeps its promises', async () => {
  await fc.assert(
    // Steps of one group happen at once.
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 4, size: 'max' }), {
        minLength: 8,
        maxLength: MAX_GROUPS,
        size: 'max',
      }),
      play,
    ),
    { numRuns: RUNS, endOnFailure: true },
  )
}, 240_000)

async function play(groups: readonly (readonly Step[])[]): Promise<void> {
  await world.reset()
  const nodes: WorldNode[] = []
  for (const operator of NODES) nodes.push(await world.addNode(operator))
  const verifier = await world.addNode('op-v', { role: 'verifier' })
  await sweepAll()
  const state: Played = { nodes, verifier, jobs: [], held: [] }
  let turn = 0
  for (const group of groups) {
    await Promise.all(group.map((each) => perform(each, state, replicas[turn++ % 2] as Life)))
    await assertAlways(state)
  }
  await finish(state)
  await assertAlways(state)
  await assertEnded(state)
}

interface Played {
  readonly nodes: readonly WorldNode[]
  readonly verifier: WorldNode
  readonly jobs: { readonly id: string; readonly validation: number; readonly rows: number }[]
  readonly held: Held[]
}

async function perform(what: Step, state: Played, life: Life): Promise<void> {
  const now = world.now()
  const held = 'held' in what ? state.held[what.held % state.held.length] : undefined
  switch (what.do) {
    case 'submit': {
      const { rows, validation, maxAttempts } = what
      const spec = { rows, maxAttempts, deadlineSeconds: 3600, validation: VALIDATIONS[validation] ?? {} }
      const id = await world.submit('sue', spec)
      state.jobs.push({ id, validation, rows })
      return
    }
    case 'lease': {
      const groups = await life.leaseSegments(await world.info(state.nodes[what.node] as WorldNode), {
        max: what.max,
        now,
      })
      if (groups.length > 0) state.held.push({ node: what.node, groups })
      return
    }
    case 'answer': {
      if (held === undefined) return
      const sender = what.how === 'foreign' ? (held.node + 1) % NODES.length : held.node
      const request = await answerTo(held, { how: what.how, key: state.nodes[sender] as WorldNode })
      const node = await world.info(state.nodes[sender] as WorldNode)
      const sent = [life.takeResults(node, { request, now })]
      if (what.how === 'twice') sent.push(world.life.takeResults(node, { request, now }))
      const outcomes = (await Promise.all(sent)).map(({ outcomes }) => outcomes.map(({ state }) => state))
      for (const other of outcomes.slice(1)) expect(known(other)).toEqual(known(outcomes[0]))
      return
    }
    case 'fail': {
      if (held === undefined) return
      const failures = leasesOf(held).map((lease) => ({
        ...lease,
        code: 'x/y',
        message: '',
        retryElsewhere: what.retryElsewhere,
      }))
      await life.takeFailures((state.nodes[held.node] as WorldNode).id, { request: { failures }, now })
      return
    }
    case 'renew': {
      if (held === undefined) return
      await life.renewLeases((state.nodes[held.node] as WorldNode).id, { leases: leasesOf(held), now })
      return
    }
    case 'verify':
      await verifyWith(life, state.verifier)
      return
    case 'wait':
      world.advance(1000 * what.seconds)
      await sweepAll()
      return
    case 'cancel': {
      const job = state.jobs[what.job % state.jobs.length]
      if (job === undefined) return
      try {
        await life.cancelJob({ jobId: job.id, submitter: 'sue', now })
      } catch (error) {
        expect(error instanceof AssayError && error.code).toBe('wire/conflict')
      }
    }
  }
}

/** What was committed may be decided between two looks at it, and then reads as accepted. */
function known(states: readonly string[] | undefined): string[] | undefined {
  return states?.map((state) => (state === 'accepted' ? 'committed' : state))
}

function leasesOf({ groups }: Held) {
  return groups.flatMap(({ segments }) => segments.map(({ id, fence }) => ({ id, fence })))
}

async function answerTo(
  { node, groups }: Held,
  { how, key }: { readonly how: string; readonly key: WorldNode },
): Promise<ResultsRequest> {
  const isWrong = how === 'wrong' && node === CHEAT
  const row = isWrong ? () => Buffer.from('wrong') : honestRow
  const request = await answer(key, groups, { row })
  if (how !== 'malformed') return request
  return { ...request, results: request.results.map((result) => ({ ...result, output: { inline: 'AAAA' } })) }
}

async function verifyWith(life: Life, verifier: WorldNode): Promise<void> {
  const info = await world.info(verifier)
  const leases = await life.leaseVerifications(info, { max: 16, now: world.now() })
  const verdicts = []
  for (const lease of leases)
    verdicts.push(await verdictOf(verifier, lease, { blobs: world.blobs, at: world.now() }))
  if (verdicts.length > 0)
    await life.takeVerdicts(info, { request: { verdicts, retry: [] }, now: world.now() })
}

async function sweepAll(): Promise<void> {
  await Promise.all(replicas.map((life) => life.sweep(world.now())))
  await Promise.all(replicas.map((life) => life.idle()))
}

/** Honest work until nothing is open, or the deadline of what cannot be done has passed. */
async function finish(state: Played): Promise<void> {
  const isOpen = async () =>
    (await world.db.query(`SELECT FROM job WHERE state IN ('submitted', 'running') LIMIT 1`)).count > 0
  for (let round = 0; round < 40 && (await isOpen()); round++) {
    // Quarantine is not what this is about.
    await world.db.query(`UPDATE node SET standing = 'trusted', resting_until = NULL WHERE state = 'online'`)
    for (const node of state.nodes) {
      const groups = await world.lease(node)
      if (groups.length > 0) await world.send(node, await answer(node, groups))
    }
    await verifyWith(world.life, state.verifier)
    world.advance(31_000)
    await sweepAll()
  }
  world.advance(3_600_000)
  await sweepAll()
  await sweepAll()
}

/** Between any two steps. */
async function assertAlways({ jobs }: Played): Promise<void> {
  await Promise.all(replicas.map((life) => life.idle()))
  await world.assertBooks()
  const ids = jobs.map(({ id }) => id)
  const { rows } = await world.db.query<{ id: string; problem: string }>(
    `SELECT job.id, 'counted ' || accepted_segments || ' segments as accepted' AS problem FROM job
     WHERE id = ANY ($1::uuid[]) AND accepted_segments <> (
       SELECT count(DISTINCT segment) FROM dispatch WHERE job_id = job.id AND state = 'accepted')
     UNION ALL
     SELECT job_id, 'segment ' || segment || ' has ' || count(*) || ' results' FROM dispatch
     WHERE job_id = ANY ($1::uuid[]) AND is_result GROUP BY job_id, segment HAVING count(*) > 1
     UNION ALL
     SELECT job.id, 'segment ' || segment || ' of an open job has no run that counts' FROM job
     JOIN dispatch ON dispatch.job_id = job.id WHERE job.id = ANY ($1::uuid[]) AND job.state = 'running'
     GROUP BY job.id, segment HAVING NOT bool_or(dispatch.state IN ('queued', 'leased', 'committed', 'accepted'))
     UNION ALL
     SELECT job_id, 'segment ' || segment || ' was accepted with runs of one operator' FROM dispatch
     WHERE job_id = ANY ($1::uuid[]) AND state = 'accepted' AND compared
     GROUP BY job_id, segment HAVING count(DISTINCT operator) < 2
     UNION ALL
     SELECT id, 'spent ' || spent || ' of ' || budget FROM job WHERE id = ANY ($1::uuid[]) AND spent > budget`,
    [ids],
  )
  expect(rows).toEqual([])
}

async function assertEnded({ jobs }: Played): Promise<void> {
  for (const { id, rows, validation } of jobs) {
    const job = await world.job(id)
    expect(['accepted', 'failed', 'cancelled', 'expired']).toContain(job.state)
    const runs = await world.runs(id)
    expect(runs.filter(({ state }) => ['queued', 'leased', 'committed'].includes(state))).toEqual([])
    const results = runs.filter(({ isResult }) => isResult)
    if (job.state === 'accepted')
      expect(results.map(({ segment }) => segment)).toEqual([...Array(rows).keys()])
    expect(job.accepted).toBe(results.length)
    if (VALIDATIONS[validation]?.redundancy?.share === 1) await assertRight(id)
  }
  const { rows: settled } = await world.db.query<{ job_id: string }>(
    `SELECT job_id FROM transfer WHERE kind = 'refund' GROUP BY job_id HAVING count(*) > 1`,
  )
  expect(settled).toEqual([])
}

async function assertRight(jobId: string): Promise<void> {
  const { rows } = await world.db.query<{ segment: number; output_digest: Uint8Array }>(
    'SELECT segment, output_digest FROM dispatch WHERE job_id = $1 AND is_result',
    [jobId],
  )
  for (const { segment, output_digest: digest } of rows) {
    const honest = encodeRows([honestRow({ input: INPUT_CID, from: segment, to: segment + 1 }, segment)])
    expect(Buffer.from(digest)).toEqual(createHash('sha256').update(honest).digest())
  }
}
