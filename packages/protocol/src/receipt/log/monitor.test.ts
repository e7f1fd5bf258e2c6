import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex } from '../../core/bytes.ts'
import { ed25519KeyPair } from '../../core/keys.ts'
import { flipBit, manyLeaves } from '../../core/testing/merkle-vectors.ts'
import { judgeLog, type LogEvidence, verifyLogEvidence } from './monitor.ts'
import { log, logServer } from './testing/log-server.ts'

const honest = logServer(manyLeaves(40))

/** The same log with leaf `at` changed. */
function rewrittenAt(at: number) {
  const leaves = manyLeaves(40)
  leaves[at] = fromHex('ffffff')
  return logServer(leaves)
}

const sizes = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }))
const ordered = sizes.map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
const growing = ordered.filter(([small, large]) => small < large)

async function accepts(evidence: LogEvidence): Promise<void> {
  const verdict = await verifyLogEvidence(JSON.parse(JSON.stringify(evidence), revive(evidence)), log)
  expect(verdict).toMatchObject({ ok: true, value: { kind: evidence.kind } })
  const swapped = { ...evidence, first: evidence.second, second: evidence.first }
  expect(await verifyLogEvidence(swapped, log)).toMatchObject({ ok: true })
}

/** Bytes do not survive JSON: they are put back. */
function revive(evidence: LogEvidence) {
  return (key: string, value: unknown) => (key === 'consistency' ? evidence.consistency : value)
}

describe('an honest log', () => {
  it('is ok at the first visit, and as it grows or stands still', async () => {
    const shown = await honest.checkpoint(3, 100)
    const first = await judgeLog({ kept: null, shown, consistency: null }, log)
    expect(first).toMatchObject({ outcome: 'ok', keep: shown, checkpoint: { size: 3 } })
    await fc.assert(
      fc.asyncProperty(ordered, async ([small, large]) => {
        const kept = await honest.checkpoint(small, 100)
        const next = await honest.checkpoint(large, 200)
        const consistency = small === large ? null : honest.answer(small, large)
        expect(await judgeLog({ kept, shown: next, consistency }, log)).toMatchObject({
          outcome: 'ok',
          keep: next,
          checkpoint: { size: large, timeSeconds: 200 },
        })
      }),
      { numRuns: 20 },
    )
  })

  it('grows from nothing', async () => {
    const kept = await honest.checkpoint(0, 100)
    const shown = await honest.checkpoint(7, 200)
    const verdict = await judgeLog({ kept, shown, consistency: honest.answer(0, 7) }, log)
    expect(verdict.outcome).toBe('ok')
  })

  it('may show an older view of itself, which is no reason to forget the newer one', async () => {
    const kept = await honest.checkpoint(20, 200)
    const shown = await honest.checkpoint(12, 100)
    const verdict = await judgeLog({ kept, shown, consistency: honest.answer(12, 20) }, log)
    expect(verdict).toMatchObject({ outcome: 'stale', keep: kept, checkpoint: { size: 20 } })
    expect(await judgeLog({ kept, shown, consistency: null }, log)).toMatchObject({ outcome: 'unproven' })
  })
})

describe('a log that rewrote its history', () => {
  it('property: convicts itself by its own answer, wherever the change is', async () => {
    await fc.assert(
      fc.asyncProperty(growing, fc.nat(), async ([small, large], n) => {
        const rewritten = rewrittenAt(n % small)
        const view = {
          kept: await honest.checkpoint(small, 100),
          shown: await rewritten.checkpoint(large, 200),
          consistency: rewritten.answer(small, large),
        }
        const verdict = await judgeLog(view, log)
        expect(verdict.outcome).toBe('fork')
        if (verdict.outcome === 'fork') await accepts(verdict.evidence)
      }),
      { numRuns: 25 },
    )
  })

  it('is caught by two checkpoints of one size alone', async () => {
    const verdict = await judgeLog(
      {
        kept: await honest.checkpoint(8, 100),
        shown: await rewrittenAt(3).checkpoint(8, 100),
        consistency: null,
      },
      log,
    )
    expect(verdict).toMatchObject({ outcome: 'fork', evidence: { kind: 'fork', consistency: null } })
    if (verdict.outcome === 'fork') await accepts(verdict.evidence)
  })

  it('is unproven, not convicted, where it withholds the proof or makes one up', async () => {
    const rewritten = rewrittenAt(3)
    for (const [small, large] of [
      [8, 21],
      [7, 21],
      [16, 32],
    ] as const) {
      const kept = await honest.checkpoint(small, 100)
      const shown = await rewritten.checkpoint(large, 200)
      const own = rewritten.answer(small, large)
      const answers = [
        null,
        honest.answer(small, large),
        { ...own, fromRoot: honest.root(small) },
        { ...own, fromRoot: flipBit(own.fromRoot, 1) },
        { ...own, proof: own.proof.map((node) => flipBit(node, 5)) },
        { ...own, proof: own.proof.slice(1) },
        { ...own, proof: null },
        { fromRoot: 'x', proof: [] },
      ]
      for (const consistency of answers) {
        const verdict = await judgeLog({ kept, shown, consistency: consistency as never }, log)
        expect(verdict).toMatchObject({ outcome: 'unproven', first: kept, second: shown })
      }
    }
  })

  it('is caught in an older view, too', async () => {
    const rewritten = rewrittenAt(2)
    const verdict = await judgeLog(
      {
        kept: await honest.checkpoint(20, 200),
        shown: await rewritten.checkpoint(12, 100),
        consistency: honest.answer(12, 20),
      },
      log,
    )
    expect(verdict.outcome).toBe('fork')
    if (verdict.outcome === 'fork') await accepts(verdict.evidence)
  })
})

describe('a log that forgot', () => {
  it('is caught by a smaller size at a later time, with or without proof', async () => {
    const kept = await honest.checkpoint(20, 100)
    const shown = await honest.checkpoint(12, 101)
    for (const consistency of [null, honest.answer(12, 20)]) {
      const verdict = await judgeLog({ kept, shown, consistency }, log)
      expect(verdict).toMatchObject({ outcome: 'rollback', evidence: { first: kept, second: shown } })
      if (verdict.outcome === 'rollback') await accepts(verdict.evidence)
    }
  })

  it('and one that dates a larger tree before a smaller one', async () => {
    const verdict = await judgeLog(
      {
        kept: await honest.checkpoint(12, 200),
        shown: await honest.checkpoint(20, 100),
        consistency: honest.answer(12, 20),
      },
      log,
    )
    expect(verdict.outcome).toBe('rollback')
    if (verdict.outcome === 'rollback') await accepts(verdict.evidence)
  })
})

describe('what says nothing of a log', () => {
  it('is refused: malformed, of another log, signed by somebody else', async () => {
    const kept = await honest.checkpoint(3, 100)
    const other = { ...log, publicKey: ed25519KeyPair(new Uint8Array(32).fill(1)).publicKey }
    for (const shown of ['x', kept.replace('\n3\n', '\n4\n'), kept.replace('example', 'elsewhere')]) {
      const verdict = await judgeLog({ kept, shown, consistency: null }, log)
      expect(verdict).toMatchObject({ outcome: 'refused', rejection: { ok: false } })
    }
    expect((await judgeLog({ kept: null, shown: kept, consistency: null }, other)).outcome).toBe('refused')
  })

  it('broken records of the client are its own misuse', async () => {
    const shown = await honest.checkpoint(3, 100)
    await expect(judgeLog({ kept: 'x', shown, consistency: null }, log)).rejects.toMatchObject({
      code: 'log/malformed',
    })
  })
})

describe('accusations', () => {
  it('against an honest log are refused, whatever comes with them', async () => {
    await fc.assert(
      fc.asyncProperty(ordered, fc.nat(), async ([small, large], bit) => {
        const first = await honest.checkpoint(small, 100)
        const second = await honest.checkpoint(large, 200)
        const answer = honest.answer(small, large)
        const foreign = rewrittenAt(0).answer(small, large)
        const inventions = [
          null,
          answer,
          foreign,
          { ...answer, fromRoot: foreign.fromRoot },
          { ...answer, fromRoot: flipBit(answer.fromRoot, bit) },
          { ...answer, proof: foreign.proof },
          { fromRoot: answer.fromRoot, proof: [] },
        ]
        for (const consistency of inventions) {
          for (const kind of ['fork', 'rollback'] as const) {
            expect(await verifyLogEvidence({ kind, first, second, consistency }, log)).toMatchObject({
              code: 'log/evidence',
            })
          }
        }
      }),
      { numRuns: 12 },
    )
  })

  it('of another kind than what they show, or not signed by the log, are refused', async () => {
    const first = await honest.checkpoint(20, 100)
    const second = await honest.checkpoint(12, 101)
    const evidence = { kind: 'rollback', first, second, consistency: null } as const
    await accepts(evidence)
    expect(await verifyLogEvidence({ ...evidence, kind: 'fork' }, log)).toMatchObject({
      code: 'log/evidence',
    })
    const forged = { ...evidence, second: second.replace('\n12\n', '\n11\n') }
    expect(await verifyLogEvidence(forged, log)).toMatchObject({ code: 'log/signature' })
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (value) => {
        expect(await verifyLogEvidence(value as never, log)).toMatchObject({ code: 'log/malformed' })
      }),
    )
  })
})
