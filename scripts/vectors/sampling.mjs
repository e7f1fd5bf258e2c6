/**
 * Makes vectors/sampling.json from the built library; with --check, compares instead and exits 1 on a difference.
 * The test beside sampling.ts checks the file against an implementation of its own.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { sampleIndices } from 'assay/core/sampling'

const file = new URL('../../vectors/sampling.json', import.meta.url)
const seeds = [
  '00'.repeat(32),
  'ff'.repeat(32),
  '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
]
const shapes = [
  [0, 0],
  [1, 0],
  [1, 1],
  [2, 1],
  [10, 3],
  [10, 9],
  [10, 10],
  [1000, 44],
  [4294967295, 5],
  [4294967296, 5],
  [4294967297, 5],
  [1000000000, 64],
  [Number.MAX_SAFE_INTEGER, 20],
]
const vectors = {
  description:
    'sampling v1: indices drawn from a seed; the algorithm is in packages/protocol/src/core/sampling.ts',
  madeBy: 'scripts/vectors/sampling.mjs',
  cases: seeds.flatMap((seed) =>
    shapes.map(([population, size]) => ({
      seed,
      population,
      size,
      indices: sampleIndices(Buffer.from(seed, 'hex'), { population, size }),
    })),
  ),
}
const cases = vectors.cases.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n')
const { description, madeBy } = vectors
const text = `{\n  "description": ${JSON.stringify(description)},\n  "madeBy": ${JSON.stringify(madeBy)},\n  "cases": [\n${cases}\n  ]\n}\n`

if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('vectors/sampling.json is not what the library draws; sampling v1 must never change')
  process.exitCode = 1
}
