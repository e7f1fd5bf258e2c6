import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../core/bytes.ts'
import { leafHash, merkleTree, proveInclusion, verifyInclusion } from '../../core/merkle.ts'
import { proveConsistency, verifyConsistency } from '../../core/merkle-consistency.ts'
import { badProofs, flipBit, manyLeaves } from '../../core/testing/merkle-vectors.ts'
import { log, logServer } from './testing/log-server.ts'
import { verifyLogConsistency, verifyLogInclusion } from './verify.ts'

const { tree } = JSON.parse(
  readFileSync(new URL('../../../../../vectors/transparency-log.json', import.meta.url), 'utf8'),
).published as {
  tree: {
    leaves: string[]
    roots: string[]
    inclusion: { index: number; size: number; proof: string[] }[]
    consistency: { from: number; to: number; proof: string[] }[]
  }
}
const server = logServer(manyLeaves(40))
/** Two sizes, the first no larger, and an index in the first. */
const places = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.nat())
  .map(([a, b, n]) => ({ small: Math.min(a, b), large: Math.max(a, b), index: n % Math.min(a, b) }))

describe('published trees', () => {
  const leaves = tree.leaves.map(fromHex)
  const root = (size: number) => fromHex(tree.roots[size] as string)
  const treeOf = (size: number) => merkleTree(leaves.slice(0, size).map(leafHash))

  it('have the published roots', () => {
    tree.roots.forEach((expected, size) => {
      expect(toHex(treeOf(size).root)).toBe(expected)
    })
  })

  it.each(tree.inclusion)('inclusion of $index in $size', ({ index, size, proof }) => {
    expect(proveInclusion(treeOf(size), index).map(toHex)).toEqual(proof)
    const leaf = leaves[index] as Uint8Array
    expect(verifyInclusion({ root: root(size), size, index, leaf, proof: proof.map(fromHex) }).ok).toBe(true)
  })

  it.each(tree.consistency)('consistency from $from to $to', ({ from, to, proof }) => {
    expect(proveConsistency(treeOf(to), from).map(toHex)).toEqual(proof)
    const claim = {
      oldRoot: root(from),
      oldSize: from,
      newRoot: root(to),
      newSize: to,
      proof: proof.map(fromHex),
    }
    expect(verifyConsistency(claim).ok).toBe(true)
  })
})

describe('inclusion', () => {
  it('property: of any leaf in any size holds, and any change of it does not', async () => {
    await fc.assert(
      fc.asyncProperty(places, fc.nat(), async ({ large: size, index }, bit) => {
        const claim = {
          leaf: server.leaves[index] as Uint8Array,
          leafIndex: index,
          path: server.inclusion(index, size),
          checkpoint: await server.checkpoint(size, 100),
        }
        const verdict = await verifyLogInclusion(claim, log)
        expect(verdict).toMatchObject({ ok: true, value: { size, timeSeconds: 100 } })
        const refused = async (change: object, code: string) =>
          expect(await verifyLogInclusion({ ...claim, ...change } as never, log)).toMatchObject({ code })
        await refused({ leaf: flipBit(claim.leaf, bit) }, 'log/inclusion')
        await refused({ leafIndex: index + 1 }, 'log/inclusion')
        await refused({ leafIndex: -1 }, 'log/inclusion')
        for (const path of badProofs(claim.path, bit)) await refused({ path }, 'log/inclusion')
        for (let i = 0; i < claim.path.length; i++) {
          const path = claim.path.map((node, j) => (i === j ? flipBit(node, bit) : node))
          await refused({ path }, 'log/inclusion')
        }
        await refused({ checkpoint: claim.checkpoint.replace('example', 'elsewhere') }, 'log/signature')
        await refused({ checkpoint: null }, 'log/malformed')
      }),
      { numRuns: 15 },
    )
  })

  it('in another size of the log needs its own path', async () => {
    const checkpoint = await server.checkpoint(9, 100)
    const claim = { leaf: server.leaves[3] as Uint8Array, leafIndex: 3, checkpoint }
    expect(await verifyLogInclusion({ ...claim, path: server.inclusion(3, 8) }, log)).toMatchObject({
      code: 'log/inclusion',
    })
    expect((await verifyLogInclusion({ ...claim, path: server.inclusion(3, 9) }, log)).ok).toBe(true)
  })
})

describe('consistency', () => {
  it('property: of any two sizes holds, and any change of it does not', async () => {
    await fc.assert(
      fc.asyncProperty(places, fc.nat(), async ({ small, large }, bit) => {
        const { proof } = server.answer(small, large)
        const claim = {
          older: await server.checkpoint(small, 100),
          newer: await server.checkpoint(large, 200),
          proof,
        }
        expect(await verifyLogConsistency(claim, log)).toMatchObject({
          ok: true,
          value: { older: { size: small }, newer: { size: large } },
        })
        for (const bad of badProofs(proof, bit)) {
          expect(await verifyLogConsistency({ ...claim, proof: bad } as never, log)).toMatchObject({
            code: 'log/consistency',
          })
        }
        for (let i = 0; i < proof.length; i++) {
          const changed = proof.map((node, j) => (i === j ? flipBit(node, bit) : node))
          expect(await verifyLogConsistency({ ...claim, proof: changed }, log)).toMatchObject({
            code: 'log/consistency',
          })
        }
        if (small < large) {
          const swapped = { ...claim, older: claim.newer, newer: claim.older }
          expect(await verifyLogConsistency(swapped, log)).toMatchObject({ code: 'log/consistency' })
        }
      }),
      { numRuns: 15 },
    )
  })

  it('property: a log that changed an old leaf has no proof', async () => {
    await fc.assert(
      fc.asyncProperty(places, async ({ small, large, index }) => {
        const leaves = [...server.leaves]
        leaves[index] = fromHex('ffffff')
        const rewritten = logServer(leaves)
        const claim = {
          older: await server.checkpoint(small, 100),
          newer: await rewritten.checkpoint(large, 200),
          proof: rewritten.answer(small, large).proof,
        }
        expect(await verifyLogConsistency(claim, log)).toMatchObject({ code: 'log/consistency' })
      }),
      { numRuns: 20 },
    )
  })

  it('needs both signatures', async () => {
    const older = await server.checkpoint(3, 100)
    const newer = await server.checkpoint(5, 200)
    const { proof } = server.answer(3, 5)
    const forged = older.replace('\n3\n', '\n2\n')
    expect(await verifyLogConsistency({ older: forged, newer, proof }, log)).toMatchObject({
      code: 'log/signature',
    })
    expect(await verifyLogConsistency({ older, newer: 'x', proof }, log)).toMatchObject({
      code: 'log/malformed',
    })
  })
})
