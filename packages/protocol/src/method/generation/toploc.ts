/**
 * Activation fingerprints in the published form: TOPLOC ("TOPLOC: A Locality Sensitive Hashing Scheme for
 * Trustless Verifiable Inference", arXiv 2501.16007; package toploc 0.1.6).
 *
 * Of a chunk of activations (the last hidden states of some tokens, flattened) the k of largest magnitude
 * are bound, as bfloat16 bits, by the polynomial over GF(65497) that takes these values at their indices
 * modulo m, where m is the largest number up to 65,497 that keeps the indices apart. Whoever recomputes the
 * chunk evaluates the polynomial at its own k indices and compares exponents and mantissas, so that small
 * differences cost little and another model costs much. A fingerprint binds no bits: it has no false
 * alarms by rounding, and no proof against somebody who runs the model.
 *
 *     modulus      u16, most significant byte first
 *     coefficients k × u16, most significant byte first, the constant first
 *
 * Two defects of the published reader are avoided: a modulus of zero (its mark of a failure to build, and a
 * division by zero) is refused, and the polynomial is evaluated at the index modulo m, never at the index.
 *
 * Threat: hostile proofs. Size, modulus and coefficients are checked before use.
 */
import { AssayError } from '../../core/errors.ts'
import { exponentOf, MAGNITUDE_MASK, mantissaOf, toBfloat16 } from './bfloat16.ts'
import { evaluate, interpolate, PRIME } from './gf65497.ts'
import { largest, type Ties } from './top-k.ts'

/** Values bound of each chunk, as published. */
export const DEFAULT_TOPK = 128
/** Tokens a chunk, as published. */
export const TOKENS_A_CHUNK = 32
/** The published search for a modulus ends above this one. */
const MODULUS_FLOOR = 2 ** 15
/** Interpolation takes the square of k: some 10 ms here (measured), and no more points than the floor allows. */
export const MAX_TOPK = 2 ** 11
/** Bound on a chunk, 512 MiB of float32: indices are exact far beyond. */
const MAX_ACTIVATIONS = 2 ** 27

export interface Fingerprint {
  readonly modulus: number
  /** Ascending: the constant first. As many as values are bound. */
  readonly coefficients: Uint16Array
}

export interface FingerprintOptions {
  /** How many values are bound; 128 by default. */
  readonly topk?: number
  /** Which of equal magnitudes are taken; `torch` by default, which gives the bytes of the published package. */
  readonly ties?: Ties
}

export function fingerprintBytes(topk: number): number {
  return 2 + 2 * topk
}

/**
 * Fingerprint of one chunk. `activations` are rounded to bfloat16, to the nearest, ties to even.
 *
 * @throws AssayError `toploc/activations` for fewer activations than `topk`, values that are not finite,
 * or indices that no modulus above 2^15 keeps apart.
 */
export function fingerprint(activations: Float32Array, options: FingerprintOptions = {}): Fingerprint {
  const { topk = DEFAULT_TOPK, ties = 'torch' } = options
  const { indices, bits } = select(activations, { topk, ties })
  const modulus = injectiveModulus(indices)
  return {
    modulus,
    coefficients: interpolate(
      indices.map((index) => index % modulus),
      bits,
    ),
  }
}

/** What a comparison found; mantissas are compared where exponents are equal, and signs nowhere. */
export interface FingerprintDistance {
  /** Values compared. */
  readonly compared: number
  readonly exponentMismatches: number
  /** In units of the last of 7 places; null where no exponent is equal. */
  readonly meanMantissaError: number | null
  /** Between the two in the middle where their number is even; the published compiled reader takes the upper one. */
  readonly medianMantissaError: number | null
}

/**
 * How far `activations`, recomputed, are from those that `proof` was made of. Distances are judged by
 * thresholds that somebody calibrated; the published experiments accept at most 38 of 128 exponents that
 * differ, a mean of at most 10 and a median of at most 8.
 *
 * @throws AssayError as `fingerprint`, for the verifier's own activations; `toploc/proof`.
 */
export function compareFingerprint(
  proof: Fingerprint,
  activations: Float32Array,
  options: { readonly ties?: Ties } = {},
): FingerprintDistance {
  assertFingerprint(proof)
  const topk = proof.coefficients.length
  const { indices, bits } = select(activations, { topk, ties: options.ties ?? 'torch' })
  const errors: number[] = []
  for (let i = 0; i < topk; i++) {
    const claimed = evaluate(proof.coefficients, indices[i]! % proof.modulus)
    if (exponentOf(claimed) !== exponentOf(bits[i]!)) continue
    errors.push(Math.abs(mantissaOf(claimed) - mantissaOf(bits[i]!)))
  }
  errors.sort((a, b) => a - b)
  return {
    compared: topk,
    exponentMismatches: topk - errors.length,
    meanMantissaError: errors.length === 0 ? null : errors.reduce((a, b) => a + b) / errors.length,
    medianMantissaError: errors.length === 0 ? null : medianOf(errors),
  }
}

/** The published bytes: 2 + 2 k. */
export function encodeFingerprint(proof: Fingerprint): Uint8Array {
  assertFingerprint(proof)
  const bytes = new Uint8Array(fingerprintBytes(proof.coefficients.length))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, proof.modulus)
  for (const [i, coefficient] of proof.coefficients.entries()) view.setUint16(2 + 2 * i, coefficient)
  return bytes
}

/**
 * Strict inverse of `encodeFingerprint`, for a proof of `topk` values.
 *
 * @throws AssayError `toploc/proof` for another length, a modulus below `topk` (zero among them) or
 * above 65,497, and coefficients outside the field.
 */
export function decodeFingerprint(bytes: Uint8Array, options: { readonly topk?: number } = {}): Fingerprint {
  const { topk = DEFAULT_TOPK } = options
  assertTopk(topk)
  if (!(bytes instanceof Uint8Array) || bytes.length !== fingerprintBytes(topk)) {
    throw malformed(`expected ${fingerprintBytes(topk)} bytes for ${topk} values, got ${bytes?.length}`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const coefficients = Uint16Array.from({ length: topk }, (_, i) => view.getUint16(2 + 2 * i))
  const proof = { modulus: view.getUint16(0), coefficients }
  assertFingerprint(proof)
  return proof
}

function assertFingerprint({ modulus, coefficients }: Fingerprint): void {
  assertTopk(coefficients.length)
  if (!Number.isInteger(modulus) || modulus < coefficients.length || modulus > PRIME) {
    throw malformed(
      `expected a modulus from ${coefficients.length}, the number of values, to ${PRIME}, got ${modulus}`,
    )
  }
  const outside = coefficients.findIndex((coefficient) => coefficient >= PRIME)
  if (outside >= 0) {
    throw malformed(`expected coefficients below ${PRIME}, got ${coefficients[outside]} at ${outside}`)
  }
}

function assertTopk(topk: number): void {
  if (!Number.isInteger(topk) || topk < 1 || topk > MAX_TOPK) {
    throw malformed(`expected 1 to ${MAX_TOPK} values in a fingerprint, got ${topk}`)
  }
}

/** The bound values: where they stand, and their bits. */
function select(activations: Float32Array, { topk, ties }: Required<FingerprintOptions>) {
  assertTopk(topk)
  if (activations.length < topk || activations.length > MAX_ACTIVATIONS) {
    throw new AssayError(
      'toploc/activations',
      `expected ${topk} to ${MAX_ACTIVATIONS} activations to take ${topk} from, got ${activations.length}`,
    )
  }
  const rounded = toBfloat16(activations)
  const magnitudes = new Uint16Array(rounded.length)
  for (let i = 0; i < rounded.length; i++) magnitudes[i] = rounded[i]! & MAGNITUDE_MASK
  const indices = largest(magnitudes, { k: topk, ties })
  return { indices, bits: Uint16Array.from(indices, (index) => rounded[index]!) }
}

/** The largest modulus up to 65,497 under which `indices` stay apart. */
function injectiveModulus(indices: Uint32Array): number {
  const lastSeen = new Uint16Array(PRIME)
  for (let modulus = PRIME; modulus > MODULUS_FLOOR; modulus--) {
    if (indices.every((index) => marks(lastSeen, index % modulus, modulus))) return modulus
  }
  throw new AssayError(
    'toploc/activations',
    `expected indices that some modulus from ${MODULUS_FLOOR + 1} to ${PRIME} keeps apart, found none`,
  )
}

/** Marks a residue for this modulus; false where it was marked already. */
function marks(lastSeen: Uint16Array, residue: number, modulus: number): boolean {
  if (lastSeen[residue] === modulus) return false
  lastSeen[residue] = modulus
  return true
}

function medianOf(ascending: readonly number[]): number {
  const middle = ascending.length >> 1
  return ascending.length % 2 === 1 ? ascending[middle]! : (ascending[middle - 1]! + ascending[middle]!) / 2
}

function malformed(message: string): AssayError {
  return new AssayError('toploc/proof', message)
}
