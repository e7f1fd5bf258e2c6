import { beforeAll, describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../../core/bytes.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { commitSeed } from '../../core/seed.ts'
import { isAudited } from '../../method/redundancy/audit.ts'
import { jobSeedContext } from './draws.ts'
import { type ReceiptRun, signJobReceipt } from './sign.ts'
import { type JobStatement, listRoot } from './statement.ts'
import { coordinatorKey, nodeKeys, plainWorld, seed } from './testing/job-world.ts'
import { type Lie, type Mutable, resign, type SignedWorld, signWorld } from './testing/lies.ts'
import { verifyJobReceipt } from './verify.ts'

let plain: SignedWorld

beforeAll(async () => {
  plain = await signWorld(await plainWorld())
})

describe('a coordinator that signs what does not follow', () => {
  const hex = (text: string) => toHex(sha256(utf8(text)))
  const lies: [string, string, Lie][] = [
    ['a root of other segments', 'receipt/derivation', (s) => (s.predicate.segments.root = hex('x'))],
    ['another output root', 'receipt/derivation', (s) => (s.predicate.output.root = hex('x'))],
    ['another subject', 'receipt/derivation', (s) => (s.subject[0].digest.assayOutputRoot = hex('x'))],
    ['another digest in the subject', 'receipt/derivation', (s) => delete s.subject[0].digest.sha256],
    ['a segment too few', 'receipt/derivation', (s) => s.predicate.segments.list?.pop()],
    ['another count', 'receipt/derivation', (s) => (s.predicate.segments.count = 11)],
    ['other rows', 'receipt/derivation', (s) => (s.predicate.input.rows += 2)],
    ['segments that are not listed', 'receipt/derivation', (s) => (s.predicate.segments.list = null)],
    ['audits that are not listed', 'receipt/derivation', (s) => (s.predicate.validation.audits.list = null)],
    [
      'audits that are not listed, by a number that would not fit',
      'receipt/derivation',
      (s) => {
        s.predicate.validation.audits.list = null
        s.predicate.validation.audits.count = 1e6
      },
    ],
    ['checks that are not listed', 'receipt/derivation', (s) => (s.predicate.validation.checks.list = null)],
    ['a node of its own making', 'receipt/derivation', (s) => (s.predicate.nodes[0]!.nodeId = hex('x'))],
    ['a node twice', 'receipt/derivation', (s) => (s.predicate.nodes[3] = s.predicate.nodes[0]!)],
    ['a segment of nobody', 'receipt/derivation', (s) => (s.predicate.segments.list![0]!.node = 9)],
    ['a fault of nobody', 'receipt/derivation', (s) => (s.predicate.faults.list[0]!.node = 9)],
    ['fewer faults than listed', 'receipt/derivation', (s) => (s.predicate.faults.count = 0)],
    ['more credits to nodes than paid', 'receipt/derivation', (s) => (s.predicate.credits.nodes[1] = 1e6)],
    ['credits of nobody', 'receipt/derivation', (s) => s.predicate.credits.nodes.push(0)],
    ['another secret', 'receipt/derivation', (s) => (s.predicate.validation.seed.secret = hex('x'))],
    ['another commitment', 'receipt/derivation', (s) => (s.predicate.validation.seed.commitment = hex('x'))],
    [
      'a seed of another job',
      'receipt/derivation',
      (s) => {
        const context = jobSeedContext('another')
        const commitment = toHex(commitSeed(sha256(utf8('s')), context))
        s.predicate.validation.seed = {
          kind: 'commit-reveal',
          secret: hex('s'),
          context: toHex(context),
          commitment,
        }
      },
    ],
    [
      'a higher share asked',
      'receipt/derivation',
      (s) => (s.predicate.validation.asked.redundancy!.share = 1),
    ],
    ['more confidence', 'receipt/derivation', (s) => (s.predicate.validation.assurance.segmentCaught = 0.99)],
    [
      'more confidence in the job',
      'receipt/derivation',
      (s) => (s.predicate.validation.assurance.jobCaught = 1),
    ],
    ['no wrong share', 'receipt/derivation', (s) => (s.predicate.validation.assurance.wrongShare = 0)],
    ['another coordinator', 'receipt/signature', (s) => (s.predicate.coordinator.nodeId = hex('x'))],
    [
      "another coordinator's key",
      'receipt/signature',
      (s) => (s.predicate.coordinator.publicKey.bytes = toHex(nodeKeys[0]!.publicKey.bytes)),
    ],
    ['an unknown field', 'receipt/malformed', (s) => Object.assign(s.predicate, { extra: 1 })],
    [
      'another type',
      'receipt/malformed',
      (s) => Object.assign(s, { predicateType: 'urn:assay:job-receipt:v2' }),
    ],
  ]

  it.each(lies)('is refused for %s', async (_, code, lie) => {
    expect(await verifyJobReceipt(await resign(plain.envelope, lie))).toMatchObject({ ok: false, code })
  })

  /** Changes one audit, and keeps the root of the audits right. */
  const withAudits = (
    change: (audits: Mutable<NonNullable<JobStatement['predicate']['validation']['audits']['list']>>) => void,
  ) => {
    const lie: Lie = (s) => {
      const { audits } = s.predicate.validation
      change(audits.list as never)
      audits.count = audits.list!.length
      audits.root = listRoot(audits.list as never)
    }
    return resign(plain.envelope, lie)
  }

  it('leaves out an audit that the seed drew', async () => {
    const code = 'receipt/derivation'
    const envelope = await withAudits((audits) => audits.splice(0, 1))
    expect(await verifyJobReceipt(envelope)).toMatchObject({
      code,
      message: expect.stringContaining('was drawn'),
    })
  })

  it('claims an audit that the seed did not draw, a majority that was none, a node that voted twice …', async () => {
    const undrawn = plain.parts.segments as readonly ReceiptRun[]
    const index = undrawn.findIndex(
      ({ commitment }) => !isAudited({ seed, commitment: commitment as Digest, rate: 0.4 }),
    )
    const changes: [string, Parameters<typeof withAudits>[0]][] = [
      ['did not draw', (audits) => (audits[0]!.runs[0]!.commitment = toHex(undrawn[index]!.commitment))],
      ['no such segment', (audits) => (audits[0]!.segment = 12)],
      ['was drawn', (audits) => (audits[0]!.segment = index)],
      ['beyond', (audits) => (audits[0]!.runs[1]!.node = 4)],
      ['nodeId', (audits) => (audits[0]!.runs[1]!.node = audits[0]!.runs[0]!.node)],
      ['run 2', (audits) => (audits[0]!.drawn = 2)],
      ['below the share', (audits) => (audits[0]!.rate = 0.1)],
      ['not majority', (audits) => (audits[0]!.outcome = 'majority')],
      ['give majority', (audits) => (audits.at(-1)!.outcome = 'agreed')],
      ['give majority', (audits) => (audits.at(-1)!.lost = [1])],
      ['give majority', (audits) => (audits.at(-1)!.lost = [])],
      ['not agreed', (audits) => (audits[0]!.runs[1]!.output = hex('y'))],
    ]
    for (const [message, change] of changes) {
      const verdict = await verifyJobReceipt(await withAudits(change))
      expect(verdict, message).toMatchObject({ code: 'receipt/derivation' })
      if (!verdict.ok) expect(verdict.message).toContain(message)
    }
    const root = await resign(plain.envelope, (s) => (s.predicate.validation.audits.list![0]!.rate = 0.5))
    expect(await verifyJobReceipt(root)).toMatchObject({ code: 'receipt/derivation' })
  })

  it('has two nodes of one operator agree', async () => {
    const envelope = await resign(plain.envelope, (s) => (s.predicate.nodes[1]!.operator = 'operator 0'))
    const verdict = await verifyJobReceipt(envelope)
    expect(verdict).toMatchObject({
      code: 'receipt/derivation',
      message: expect.stringContaining('operator'),
    })
  })

  it('credits one execution twice', async () => {
    const [first, ...others] = [...plain.parts.segments]
    const parts = { ...plain.parts, segments: [first!, first!, ...others.slice(1)] }
    const verdict = await verifyJobReceipt(await signJobReceipt(parts, coordinatorKey))
    expect(verdict).toMatchObject({
      code: 'receipt/derivation',
      message: expect.stringContaining('two segments'),
    })
  })

  it('calls an answer of the minority accepted', async () => {
    const segments = [...plain.parts.segments]
    const [loser] = plain.parts.audits!.at(-1)!.runs as [ReceiptRun]
    segments[11] = loser
    const verdict = await verifyJobReceipt(await signJobReceipt({ ...plain.parts, segments }, coordinatorKey))
    expect(verdict).toMatchObject({
      code: 'receipt/derivation',
      message: expect.stringContaining('against it'),
    })
  })
})

describe('results within a tolerance', () => {
  it('may differ and agree; the rest of an audit must still be possible', async () => {
    const world = await plainWorld()
    const audits = world.parts.audits!.map((audit) =>
      audit.outcome === 'agreed'
        ? {
            ...audit,
            runs: audit.runs.map((run, i) => (i === 1 ? { ...run, output: sha256(utf8('near')) } : run)),
          }
        : audit,
    )
    const parts = { ...world.parts, audits, comparison: 'tolerant' } as const
    const envelope = await signJobReceipt(parts, coordinatorKey)
    expect((await verifyJobReceipt(envelope)).ok).toBe(true)
    const exact = await signJobReceipt({ ...parts, comparison: 'exact' }, coordinatorKey)
    expect(await verifyJobReceipt(exact)).toMatchObject({ code: 'receipt/derivation' })
    const [{ lost: _, ...first }, ...others] = audits as [(typeof audits)[0], ...typeof audits]
    const wrong = [
      { ...first, outcome: 'majority', lost: [first.runs[0]!.nodeId] },
      { ...first, outcome: 'agreed', lost: [first.runs[0]!.nodeId] },
      { ...first, outcome: 'scattered', lost: [] },
    ] as const
    for (const audit of wrong) {
      const bad = await signJobReceipt({ ...parts, audits: [audit, ...others] }, coordinatorKey)
      expect(await verifyJobReceipt(bad)).toMatchObject({ code: 'receipt/derivation' })
    }
  })
})
