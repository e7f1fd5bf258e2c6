/**
 * Cheats in small networks of real services, each with as many audits that to miss it would take less luck than one
 * in a billion: kinds of cheats one by one, several nodes of one operator, and one that earns trust before it cheats.
 */
import type { NodeView } from 'assay/wire/manifest'
import { fetchResult, waitForJob } from 'assay/wire/submit'
import { describe, expect, it } from 'vitest'
import { type Cheat, cheatParts } from '../../dist/network/cheats.js'
import { openNetwork, type TestNetwork } from '../network/support/in-process.ts'
import { brokenInvariants } from '../network/support/invariants.ts'
import { squares } from '../network/support/work.ts'

const TIMEOUT = { timeout: 240_000 }
const PATIENT = { timeout: 30_000, interval: 200 }
const MISSED = 1e-9
const SEGMENT_ROWS = 8
/** Everything runs twice, and the verifier looks at every row. */
const EVERYTHING = { redundancy: { share: 1 }, sampling: { share: 1, confidence: 0.99, fakedShare: 0.25 } }
const honest = (name: string) => ({ name, operator: `operator-${name}`, slots: 2 })

interface Asked {
  readonly segments: number
  readonly first: number
  readonly validation: object
}

/** Runs jobs to their end, and says which of their segments were accepted with wrong rows. */
function tracer(world: TestNetwork) {
  return async ({ segments, first, validation }: Asked): Promise<readonly number[]> => {
    const job = squares(segments * SEGMENT_ROWS, { first, segmentRows: SEGMENT_ROWS, validation })
    const { id } = await world.submit(job)
    expect(await waitForJob(world.submitter, id)).toMatchObject({ state: 'accepted', reason: null })
    const rows = await fetchResult(world.submitter, id)
    const wrong = rows.flatMap((row, i) =>
      Buffer.compare(row, job.expected[i] as Uint8Array) === 0 ? [] : [Math.floor(i / SEGMENT_ROWS)],
    )
    return [...new Set(wrong)]
  }
}

async function nodeNamed(world: TestNetwork, name: string): Promise<NodeView> {
  const { items } = await world.network.admin.client.listNodes({ query: { limit: 100 } })
  const found = items.find(({ manifest }) => manifest.name === name)
  if (found === undefined) throw new Error(`there is no node ${name}`)
  return found
}

/** What the records hold against a node. */
async function evidence(world: TestNetwork, { id }: NodeView) {
  const { rows } = await world.db.query<{ code: string; reason: string; penalty: number }>(
    `SELECT data->>'code' AS code, data->>'reason' AS reason, (data->>'penalty')::integer AS penalty
     FROM event WHERE type = 'node.fault' AND node_id = $1`,
    [Buffer.from(id, 'hex')],
  )
  return rows
}

describe('a cheat that is', () => {
  it.each(['lazy', 'altered', 'malformed'] as const)(
    '%s is found, and named with evidence',
    TIMEOUT,
    async (kind: Cheat) => {
      const world = await openNetwork([
        honest('ada'),
        honest('ben'),
        honest('cleo'),
        { name: 'cheat', operator: 'operator-cheat', slots: 2, cheat: cheatParts(kind, { share: 0.5 }) },
      ])
      try {
        // A segment without a wrong row has a chance of 2^-8, or none for what is malformed: four are enough.
        const leastSegments = Math.ceil(Math.log(MISSED) / (SEGMENT_ROWS * Math.log(0.5)))
        const submit = tracer(world)
        let done = 0
        for (let round = 0; done < leastSegments; round++) {
          expect(round).toBeLessThan(20)
          const wrongSegments = await submit({
            segments: 40,
            first: round * 10_000,
            validation: EVERYTHING,
          })
          expect(wrongSegments).toEqual([])
          const { faults } = await nodeNamed(world, 'cheat')
          // One that was found gets no more work.
          if (faults > 0) break
          const { rows } = await world.db.query<{ n: number }>(
            `SELECT count(*)::integer AS n FROM dispatch JOIN node ON node.id = node_id
           WHERE commitment IS NOT NULL AND manifest->>'name' = 'cheat'`,
          )
          done = rows[0]?.n ?? 0
        }
        const cheat = await nodeNamed(world, 'cheat')
        expect(cheat.faults).toBeGreaterThan(0)
        const held = await evidence(world, cheat)
        expect(held.length).toBeGreaterThan(0)
        for (const { code, reason, penalty } of held) {
          expect(code).toMatch(/^[a-z-]+\/?[a-z-]*$/)
          expect(reason).not.toBe('')
          expect(penalty).toBeGreaterThanOrEqual(0)
        }
        console.info(
          kind,
          'was named',
          held.length,
          'times:',
          [...new Set(held.map(({ code }) => code))].join(', '),
        )
        for (const name of ['ada', 'ben', 'cleo']) expect((await nodeNamed(world, name)).faults).toBe(0)
        await expect.poll(() => brokenInvariants(world.db), PATIENT).toEqual({})
      } finally {
        await world.close()
      }
    },
  )
})

describe('several nodes of one operator', () => {
  it('never audit one another, and gain nothing by agreeing', TIMEOUT, async () => {
    const sybil = (i: number) => ({
      name: `sybil-${i}`,
      operator: 'one-and-the-same',
      slots: 2,
      cheat: cheatParts('colluder', { share: 1 }),
    })
    const world = await openNetwork([honest('ada'), honest('ben'), sybil(1), sybil(2), sybil(3)])
    try {
      const wrongSegments = await tracer(world)({
        segments: 120,
        first: 0,
        validation: { redundancy: { share: 1 } },
      })
      expect(wrongSegments).toEqual([])
      const { rows: pairs } = await world.db.query(
        `SELECT job_id, segment, node.operator, count(*) FROM dispatch JOIN node ON node.id = node_id
         WHERE commitment IS NOT NULL GROUP BY job_id, segment, node.operator HAVING count(*) > 1`,
      )
      expect(pairs).toEqual([])
      const all = await Promise.all([1, 2, 3].map((i) => nodeNamed(world, `sybil-${i}`)))
      expect(all.reduce((sum, { faults }) => sum + faults, 0)).toBeGreaterThan(0)
      expect(all.map(({ accepted }) => accepted)).toEqual([0, 0, 0])
      for (const name of ['ada', 'ben']) expect((await nodeNamed(world, name)).faults).toBe(0)
      await expect.poll(() => brokenInvariants(world.db), PATIENT).toEqual({})
    } finally {
      await world.close()
    }
  })
})

describe('a node that earns trust, and then cheats', () => {
  it('is found after about as many segments as its audits say', TIMEOUT, async () => {
    let isAwake = false
    const { rows: wrongRows } = cheatParts('altered', { share: 1 }).hooks ?? {}
    if (wrongRows === undefined) throw new Error('no such cheat')
    const cheat = {
      hooks: {
        rows: ((request) =>
          isAwake ? wrongRows(request) : request.compute(request.range)) as typeof wrongRows,
      },
    }
    const world = await openNetwork([
      honest('ada'),
      honest('ben'),
      { name: 'sleeper', operator: 'operator-sleeper', slots: 2, cheat },
    ])
    try {
      const submit = tracer(world)
      let first = 0
      const next = () => (first += 1_000_000)
      // Trust takes some hundred clean audits; every run on probation is one.
      for (let round = 0; (await nodeNamed(world, 'sleeper')).standing !== 'trusted'; round++) {
        expect(round).toBeLessThan(20)
        await submit({ segments: 100, first: next(), validation: { redundancy: { share: 1 } } })
      }
      const { auditRate, faults } = await nodeNamed(world, 'sleeper')
      expect(faults).toBe(0)
      expect(auditRate).toBeLessThan(1)
      isAwake = true
      const most = Math.ceil(Math.log(MISSED) / Math.log(1 - auditRate))
      let losses = 0
      while ((await nodeNamed(world, 'sleeper')).faults === 0) {
        // So many unaudited cheats in a row are no bad luck.
        expect(losses).toBeLessThan(most)
        losses += (await submit({ segments: 100, first: next(), validation: {} })).length
      }
      const caught = await nodeNamed(world, 'sleeper')
      const held = await evidence(world, caught)
      console.info(
        `the sleeper was audited at ${auditRate}: ${losses} wrong segments until it was found, ${Math.round(1 / auditRate)} expected`,
      )
      expect(held.length).toBeGreaterThan(0)
      for (const name of ['ada', 'ben']) expect((await nodeNamed(world, name)).faults).toBe(0)
      // And from then on it is looked at.
      expect(caught.auditRate).toBeGreaterThan(auditRate)
      await expect.poll(() => brokenInvariants(world.db), PATIENT).toEqual({})
    } finally {
      await world.close()
    }
  })
})
