/**
 * Indices to check, drawn from a seed: uniform, without replacement, and the same in every implementation.
 *
 * Whoever holds the seed derives the same indices, so that a challenge can be audited. Drawing them from a
 * local random source (as the published SPEX verifier does) lets the verifier favour a solver unseen. The
 * seed must come from after the commitment: see seed.ts.
 *
 * The algorithm, for other languages ("sampling v1"; `‖` joins bytes, u64 is eight bytes, most significant
 * first; `T(tag, x)` is SHA-256(SHA-256(tag) ‖ SHA-256(tag) ‖ x)):
 *
 * 1. Key. K = T("assay/random-stream/v1", u64(32) ‖ seed ‖ u64(len label) ‖ label). The label is UTF-8;
 *    indices use the label "indices".
 * 2. Words. Block i = SHA-256(K ‖ u64(i)), i = 0, 1, 2 …; each block gives four 64-bit words, bytes 0–7
 *    first, most significant byte first.
 * 3. An integer below b (1 <= b <= 2^53 - 1): let w be the number of binary digits of b - 1 (0 for b = 1).
 *    Take the next word and keep its w least significant bits; if the value is b or more, drop it and take
 *    the next word. Every try uses one word, also for b = 1.
 * 4. Indices (Floyd). Start with the empty set. For j = n - k, …, n - 1: draw t below j + 1; add t, or j if t
 *    is in the set already. Sort ascending. For k = n the result is 0 … n - 1, whatever the words are.
 *
 * Test vectors: vectors/sampling.json.
 */
import { utf8 } from './bytes.ts'
import { hashFields, sha256 } from './digest.ts'
import { AssayError } from './errors.ts'

export const SEED_BYTES = 32
/**
 * Most indices in one sample: to draw that many takes some 7 s and 430 MB (measured; V8's sets end at 2^24).
 * Each is a state computed again, and confidence needs thousands (see statistics.ts), whatever the population.
 */
export const MAX_SAMPLE_SIZE = 2 ** 22

const STREAM_TAG = 'assay/random-stream/v1'
const INDEX_LABEL = 'indices'
const KEY_BYTES = 32
const BLOCK_BYTES = 32
const WORD_BYTES = 8
const HALF_WORD = 2 ** 32

/** An endless stream of 64-bit words. */
export interface RandomStream {
  /** The next word, as its two 32-bit halves. */
  next(): { readonly high: number; readonly low: number }
}

/** The stream that `seed` (32 bytes) gives under `label`; streams under different labels are independent. */
export function randomStream(seed: Uint8Array, label: string): RandomStream {
  if (seed.length !== SEED_BYTES) {
    throw new AssayError('seed/malformed', `a seed has ${SEED_BYTES} bytes, got ${seed.length}`)
  }
  const input = new Uint8Array(KEY_BYTES + WORD_BYTES)
  input.set(hashFields(STREAM_TAG, [seed, utf8(label)]))
  const counter = new DataView(input.buffer, KEY_BYTES)
  let block: DataView = new DataView(new ArrayBuffer(0))
  let index = 0
  let offset = BLOCK_BYTES
  return {
    next() {
      if (offset === BLOCK_BYTES) {
        counter.setUint32(0, Math.floor(index / HALF_WORD))
        counter.setUint32(4, index % HALF_WORD)
        index++
        offset = 0
        const hash = sha256(input)
        block = new DataView(hash.buffer, hash.byteOffset, BLOCK_BYTES)
      }
      const word = { high: block.getUint32(offset), low: block.getUint32(offset + 4) }
      offset += WORD_BYTES
      return word
    },
  }
}

/** An integer from 0 to bound - 1, each as likely as any other. `bound` is 1 … 2^53 - 1. */
export function uniformInteger(stream: RandomStream, bound: number): number {
  if (!Number.isSafeInteger(bound) || bound < 1) {
    throw new AssayError('sampling/parameters', `a bound is an integer from 1 to 2^53 - 1, got ${bound}`)
  }
  const largest = bound - 1
  const highMask = maskOf(Math.floor(largest / HALF_WORD))
  const lowMask = largest >= HALF_WORD ? 0xffffffff : maskOf(largest)
  for (;;) {
    const { high, low } = stream.next()
    const value = ((high & highMask) >>> 0) * HALF_WORD + ((low & lowMask) >>> 0)
    if (value < bound) return value
  }
}

/** All ones over the binary digits of a 32-bit value. */
function maskOf(value: number): number {
  return value === 0 ? 0 : 0xffffffff >>> Math.clz32(value)
}

export interface SampleOptions {
  /** n: indices run from 0 to n - 1; 0 … 2^53 - 1. */
  readonly population: number
  /** k: how many to draw; 0 … min(n, `MAX_SAMPLE_SIZE`). */
  readonly size: number
}

/**
 * `size` different indices below `population`, ascending; every set of that size is equally likely.
 * Memory and time grow with `size` alone.
 *
 * @throws AssayError 'sampling/parameters', or 'seed/malformed' when `seed` does not have 32 bytes.
 */
export function sampleIndices(seed: Uint8Array, { population, size }: SampleOptions): number[] {
  assertSample({ population, size })
  const stream = randomStream(seed, INDEX_LABEL)
  if (size === population) return Array.from({ length: size }, (_, index) => index)
  const chosen = new Set<number>()
  for (let last = population - size; last < population; last++) {
    const index = uniformInteger(stream, last + 1)
    chosen.add(chosen.has(index) ? last : index)
  }
  // Typed arrays sort by value, and several times faster than a comparison function; doubles hold 2^53 - 1.
  return Array.from(Float64Array.from(chosen).sort())
}

function assertSample({ population, size }: SampleOptions): void {
  const fail = (message: string) =>
    new AssayError('sampling/parameters', message, {
      detail: { population: String(population), size: String(size) },
    })
  if (!Number.isSafeInteger(population) || population < 0) {
    throw fail(`the population is an integer from 0 to 2^53 - 1, got ${population}`)
  }
  if (!Number.isSafeInteger(size) || size < 0 || size > population) {
    throw fail(`the sample size is an integer from 0 to the population ${population}, got ${size}`)
  }
  if (size > MAX_SAMPLE_SIZE) throw fail(`a sample has at most ${MAX_SAMPLE_SIZE} indices, got ${size}`)
}
