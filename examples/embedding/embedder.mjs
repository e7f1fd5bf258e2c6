/**
 * A small text embedding: counts of character trigrams, hashed into buckets, projected onto random directions and
 * scaled to length 1. Texts that share wording come out close to one another.
 *
 * It stands for a model that runs on many kinds of machine, whose last bits differ between them: `machineNoise`
 * adds differences of the size that float32 sums in another order give, and a bit more.
 */
import { sha256 } from 'assay/core/digest'
import { randomHyperplanes } from 'assay/state/embedding-points'

export const DIMENSIONS = 48
const BUCKETS = 512
const NOISE = 1e-4

/** The model: one direction for each bucket, from a fixed seed. */
const directions = randomHyperplanes(sha256(new TextEncoder().encode('trigram embedder 1')), {
  count: BUCKETS,
  dimensions: DIMENSIONS,
})

export function embed(text) {
  const letters = ` ${text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()} `
  const point = new Float64Array(DIMENSIONS)
  for (let i = 0; i + 3 <= letters.length; i++) add(point, directions[bucketOf(letters.slice(i, i + 3))])
  return scaled(point)
}

/** `point` as another machine gives it. The same machine gives the same noise for the same text. */
export function machineNoise(point, machine) {
  return point.map((value, i) => value + NOISE * (2 * unit(`${machine}/${i}/${value}`) - 1))
}

/** FNV-1a over UTF-16 units, with a last mix: quick, and the same everywhere. */
function hash(text) {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  return Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) >>> 0
}

function bucketOf(trigram) {
  return hash(trigram) % BUCKETS
}

function unit(text) {
  return hash(text) / 2 ** 32
}

function add(point, direction) {
  for (let i = 0; i < point.length; i++) point[i] += direction[i]
}

function scaled(point) {
  let square = 0
  for (const value of point) square += value * value
  const length = Math.sqrt(square)
  return length === 0 ? point : point.map((value) => value / length)
}
