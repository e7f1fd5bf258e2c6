import { randomBytes } from 'node:crypto'
import { fromBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { randomStream, uniformInteger } from 'assay/core/sampling'
import { tensor } from 'assay/state/tensor'
import { decodeTensors, encodeTensors } from 'assay/state/tensors'
import { decodeRows, encodeRows } from 'assay/task/rows'
import type { JobSpec } from 'assay/wire/job'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { honestRow } from '../../test/life/answers.ts'
import {
  INPUT_CID,
  MODULE_CID,
  openWorld,
  QUIET_POLICY,
  specOf,
  type World,
  type WorldNode,
} from '../../test/life/world.ts'
import { type CanaryPool, drawCanary } from './canary/draw.ts'
import { judgeCanaries } from './canary/judge.ts'
import { addCanary, answersOfJob, injectCanary, type KnownAnswers } from './canary.ts'
import { heldAccount, stakeAccount } from './ledger.ts'
import { checkBooks } from './ledger-read.ts'
import { createFactsCache } from './life/job-facts.ts'
import type { Content } from './life/parts.ts'
import { nodeView } from './registry/views.ts'

/** What the work computes of a record. */
const answerTo = (record: Uint8Array) => utf8(`answer to ${Buffer.from(record).toString()}`)
const RECORDS = Array.from({ length: 40 }, (_, i) => utf8(`record ${i}`))

function poolOf(over: Partial<JobSpec> = {}): KnownAnswers {
  const spec = specOf({ rows: RECORDS.length, segmentRows: 3, ...over })
  return { spec, input: encodeRows(RECORDS), answers: RECORDS.map(answerTo) }
}

/** Numbers that can be repeated. */
function seeded(name: string): () => number {
  const stream = randomStream(new Uint8Array(Buffer.alloc(32, name)), 'test')
  return () => uniformInteger(stream, 2 ** 32) / 2 ** 32
}

describe('a draw', () => {
  test('has rows of the pool with their answers, and the shape of an ordinary job', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 50 }), (name, segmentRows) => {
        const pool = poolOf({ segmentRows, validation: { redundancy: { share: 0.1 } } })
        const { spec, input, answers } = drawCanary(pool, seeded(`x${name}`))
        const records = decodeRows(input)
        expect(records.map(answerTo)).toEqual(answers)
        expect(new Set(records.map(String)).size).toBe(records.length)
        expect(spec.rows).toBe(records.length)
        expect(spec.rows).toBeLessThanOrEqual(4 * spec.segmentRows)
        expect(spec.budget).toBe(3 * 10 * Math.ceil(spec.rows / spec.segmentRows))
        expect('inline' in spec.input && fromBase64(spec.input.inline)).toEqual(input)
      }),
    )
  })

  test('is hardly ever the same twice', () => {
    const random = seeded('apart')
    const addresses = Array.from({ length: 200 }, () =>
      contentAddress(drawCanary(poolOf(), random).input, 'raw'),
    )
    expect(new Set(addresses).size).toBe(200)
  })

  test('of tensors is a range of their rows; an input without rows goes whole', () => {
    const work = { kind: 'onnx', model: MODULE_CID, runtime: 'reproducible', batch: 'first-axis' } as const
    const x = tensor(
      'float32',
      [6, 2],
      Float32Array.from({ length: 12 }, (_, i) => i),
    )
    const answers = Array.from({ length: 6 }, (_, i) => utf8(`row ${i}`))
    const pool: CanaryPool = {
      spec: specOf({ work, rows: 6, segmentRows: 1 }),
      input: encodeTensors({ x }),
      answers,
    }
    for (let i = 0; i < 20; i++) {
      const drawn = drawCanary(pool, seeded(`onnx ${i}`))
      const { x: part } = decodeTensors(drawn.input, { maxBytes: 1e6 })
      const from = Number(part?.data[0]) / 2
      expect(part?.shape).toEqual([drawn.spec.rows, 2])
      expect(drawn.answers).toEqual(answers.slice(from, from + drawn.spec.rows))
    }
    const shared = { ...pool, input: encodeTensors({ x, table: tensor('float32', [1], Float32Array.of(1)) }) }
    expect(drawCanary(shared, seeded('whole')).input).toEqual(shared.input)
  })

  test('of a large input goes by its address', () => {
    const records = Array.from({ length: 30 }, () => new Uint8Array(randomBytes(2000)))
    const spec = specOf({ rows: 30, segmentRows: 20 })
    const drawn = drawCanary({ spec, input: encodeRows(records), answers: records }, seeded('large'))
    expect(drawn.spec.input).toEqual({ cid: contentAddress(drawn.input, 'raw') })
  })

  test('refuses a pool that is none', () => {
    for (const pool of [
      { ...poolOf(), answers: [] },
      { ...poolOf(), answers: [utf8('one')] },
      { ...poolOf(), input: utf8('no rows') },
    ]) {
      expect(() => drawCanary(pool, () => 0)).toThrow(AssayError)
    }
  })
})

describe('in the network', () => {
  let world: World
  let honest: WorldNode
  let other: WorldNode
  let cheat: WorldNode
  /** Records of the inputs that were submitted, by their address. */
  const inputs = new Map<string, Uint8Array[]>()

  beforeAll(async () => {
    world = await openWorld()
    await world.addSubmitter('sam', 1_000_000)
    honest = await world.addNode('ann')
    other = await world.addNode('ben')
    cheat = await world.addNode('cem')
    await world.sweep()
  }, 60_000)
  afterAll(() => world?.close())

  const content: Content = {
    missing: async () => [],
    async *read(cid) {
      const bytes = world.blobs.get(cid)
      if (bytes === undefined) throw new AssayError('blob/missing', `no ${cid}`)
      yield bytes
    },
  }
  const row: typeof honestRow = ({ input }, index) =>
    answerTo(inputs.get(input)?.[index] ?? new Uint8Array(0))
  const wrong: typeof honestRow = () => utf8('wrong')
  const judge = () =>
    judgeCanaries(world.db, {
      policy: QUIET_POLICY,
      cache: createFactsCache(),
      content,
      now: world.now().getTime(),
    })

  let seeds = 0
  async function inject(): Promise<string> {
    for (;;) {
      world.advance(3_600_000)
      const id = await injectCanary(world.db, {
        perHour: 10,
        now: world.now().getTime(),
        random: seeded(`inject ${seeds++}`),
        async submit(submission) {
          const { input } = submission.spec
          const bytes =
            'inline' in input ? fromBase64(input.inline) : (world.blobs.get(input.cid) as Uint8Array)
          inputs.set(contentAddress(bytes, 'raw'), decodeRows(bytes))
          return (await world.life.submitJob({ ...submission, now: world.now() })).id
        },
        async putBlob(cid, bytes) {
          world.blobs.set(cid, bytes)
        },
      })
      if (id !== null) return id
    }
  }

  test('none is due without known answers, and none at a rate of 0', async () => {
    const submit = () => Promise.reject(new Error('expected no canary'))
    const options = { submit, putBlob: submit, random: () => 0.5 }
    for (let hour = 0; hour < 5; hour++) {
      expect(await injectCanary(world.db, { ...options, perHour: 10, now: hour * 3_600_000 })).toBeNull()
      expect(await injectCanary(world.db, { ...options, perHour: 0, now: hour * 3_600_000 })).toBeNull()
    }
  })

  test('a node that gives the answer has passed an audit, and is paid as ever', async () => {
    await world.db.tx((tx) => addCanary(tx, poolOf()))
    const id = await inject()
    while ((await world.job(id)).state !== 'accepted') await world.work(honest, { row })
    expect(await judge()).toBe(1)
    expect(await judge()).toBe(0)
    const view = await nodeView(world.db, { nodeId: honest.id, policy: QUIET_POLICY })
    expect(view).toMatchObject({ standing: 'trusted', faults: 0, held: 0 })
    expect(view.balance).toBeGreaterThan(0)
    const { rows } = await world.db.query<{ right_runs: number; wrong_runs: number }>(
      'SELECT right_runs, wrong_runs FROM canary WHERE job_id = $1',
      [id],
    )
    const { segments } = await world.job(id)
    expect(rows[0]).toEqual({ right_runs: segments, wrong_runs: 0 })
  })

  test('a node that does not is found out, without a word of what it was asked', async () => {
    const id = await inject()
    while ((await world.job(id)).state !== 'accepted') await world.work(cheat, { row: wrong })
    expect(await world.balance(heldAccount(cheat.id))).toBeGreaterThan(0)
    expect(await judge()).toBe(1)
    const view = await nodeView(world.db, { nodeId: cheat.id, policy: QUIET_POLICY })
    expect(view.faults).toBe((await world.job(id)).segments)
    expect(view.held).toBe(0)
    expect(JSON.stringify(view.decisions)).not.toContain(id)
    expect(JSON.stringify(view.decisions).toLowerCase()).not.toContain('canary')
    const { rows } = await world.db.query(
      "SELECT FROM event WHERE job_id = $1 AND type NOT LIKE 'job.%' AND type NOT LIKE 'segment.%'",
      [id],
    )
    expect(rows).toEqual([])
  })

  test('nodes that agree on a wrong answer are both found out', async () => {
    const { id: pool } = (await world.db.query<{ id: number }>('SELECT id FROM canary_pool')).rows[0] ?? {
      id: 0,
    }
    const id = await world.db.tx((tx) => addCanary(tx, poolOf({ validation: { redundancy: { share: 1 } } })))
    expect(id).not.toBe(pool)
    await world.db.query('DELETE FROM canary_pool WHERE id <> $1', [id])
    const [one, two] = [await world.addNode('dee'), await world.addNode('eli')]
    await world.db.query("UPDATE node SET state = 'offline' WHERE id <> ALL ($1::bytea[])", [
      [one, two].map((node) => Buffer.from(node.id, 'hex')),
    ])
    await world.sweep()
    const job = await inject()
    for (let i = 0; i < 100 && (await world.job(job)).state !== 'accepted'; i++) {
      for (const node of [one, two]) await world.work(node, { row: wrong })
      await world.sweep(1_000)
    }
    expect((await world.job(job)).state).toBe('accepted')
    expect(await judge()).toBe(1)
    for (const node of [one, two]) {
      const view = await nodeView(world.db, { nodeId: node.id, policy: QUIET_POLICY })
      expect(view.faults).toBeGreaterThan(0)
      expect(await world.balance(stakeAccount(node.id))).toBe(0)
    }
    expect((await checkBooks(world.db)).faults).toEqual([])
  })

  test('replicas that look at the same time submit and judge each once', async () => {
    await world.reset()
    await world.db.query("UPDATE node SET state = 'online' WHERE operator IN ('ann', 'ben')")
    await world.sweep()
    world.advance(360_000_000)
    const now = world.now().getTime()
    const submitted: string[] = []
    await Promise.all(
      Array.from({ length: 6 }, () =>
        injectCanary(world.db, {
          perHour: 0.001,
          now,
          random: seeded('once'),
          async submit(submission) {
            const { id } = await world.life.submitJob({ ...submission, now: world.now() })
            submitted.push(id)
            const { input } = submission.spec
            if ('inline' in input)
              inputs.set(
                contentAddress(fromBase64(input.inline), 'raw'),
                decodeRows(fromBase64(input.inline)),
              )
            return id
          },
          putBlob: async () => {},
        }),
      ),
    )
    expect(submitted).toHaveLength(1)
    const [id = ''] = submitted
    for (let i = 0; i < 100 && (await world.job(id)).state !== 'accepted'; i++) {
      for (const node of [honest, other]) await world.work(node, { row })
      await world.sweep(1_000)
    }
    const judged = await Promise.all([judge(), judge(), judge()])
    expect(judged.reduce((sum, count) => sum + count, 0)).toBe(1)
  })

  test('the answers of a job are known when each of its segments was compared', async () => {
    const plain = await world.submit('sam', { rows: 4, segmentRows: 2 })
    const compared = await world.submit('sam', {
      rows: 4,
      segmentRows: 2,
      validation: { redundancy: { share: 1 } },
    })
    await expect(answersOfJob(world.db, compared, { content })).rejects.toMatchObject({
      code: 'canary/answers',
    })
    for (let i = 0; i < 100 && (await world.job(compared)).state !== 'accepted'; i++) {
      for (const node of [honest, other]) await world.work(node)
      await world.sweep(1_000)
    }
    const known = await answersOfJob(world.db, compared, { content })
    expect(known.answers).toEqual(
      [0, 1, 2, 3].map((index) => honestRow({ input: INPUT_CID, from: 0, to: 4 }, index)),
    )
    expect(known.input).toEqual(world.blobs.get(INPUT_CID))
    await expect(answersOfJob(world.db, plain, { content })).rejects.toMatchObject({ code: 'canary/answers' })
  })

  test('what does not fit is not added', async () => {
    const add = (known: KnownAnswers) => world.db.tx((tx) => addCanary(tx, known))
    await expect(add({ ...poolOf(), answers: [] })).rejects.toMatchObject({ code: 'canary/answers' })
    await expect(add({ ...poolOf(), input: utf8(`'); DROP TABLE canary; --`) })).rejects.toBeInstanceOf(
      AssayError,
    )
  })
})
