/**
 * Distances between points, each the same bits on every JavaScript engine: only + - * / and the square root,
 * which IEEE 754 rounds correctly.
 *
 * The Euclidean distance is that of the published package, which asks SciPy, which asks the `nrm2` of its
 * BLAS: on x86-64 that runs in extended precision, and its result is the correctly rounded root of the exact
 * sum in all but one case of some ten thousand. So the sum is carried in twice the precision of a double here.
 * (A plain sum of squares gives another last bit for one pair in five, which decides where two distances tie.)
 */
import { AssayError } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'

/** Any measure of how far two points lie apart; only the order of its results matters. */
export type Distance = (a: Float64Array, b: Float64Array) => number

/** A metric by name, or a function with a name of its own, which becomes part of the task id. */
export type Metric =
  | 'euclidean'
  | 'cosine'
  | 'manhattan'
  | { readonly name: string; readonly distance: Distance }

/** Above this a square overflows. */
const MAX_COORDINATE = 2 ** 500
/** Splits a double into two halves of 26 bits (Dekker 1971). */
const SPLITTER = 2 ** 27 + 1

const METRICS: { readonly [name: string]: Distance } = { euclidean, cosine, manhattan }

/** Throws `state/parameters` for an unknown name, or a function without one. */
export function resolveMetric(metric: Metric): { readonly name: string; readonly distance: Distance } {
  const distance = typeof metric === 'string' && Object.hasOwn(METRICS, metric) ? METRICS[metric] : undefined
  if (distance !== undefined) return { name: metric as string, distance }
  if (typeof metric === 'object' && metric !== null) {
    const { name, distance: custom } = metric
    if (
      typeof name === 'string' &&
      name !== '' &&
      !Object.hasOwn(METRICS, name) &&
      typeof custom === 'function'
    ) {
      return { name, distance: custom }
    }
  }
  throw new AssayError(
    'state/parameters',
    `expected a metric of ${Object.keys(METRICS).join(', ')}, or { name, distance }, got ${describeValue(metric)}`,
  )
}

/** Throws `state/type`, `state/shape`, `state/non-finite` or `state/out-of-range` for what is not a point. */
export function assertPoint(
  value: unknown,
  { dimensions, name }: { readonly dimensions: number; readonly name: string },
): asserts value is Float64Array {
  if (!(value instanceof Float64Array)) {
    throw new AssayError('state/type', `expected ${name} to be a Float64Array, got ${describeValue(value)}`)
  }
  if (value.length !== dimensions) {
    throw new AssayError(
      'state/shape',
      `expected ${name} to have ${dimensions} dimensions, got ${value.length}`,
    )
  }
  for (let i = 0; i < dimensions; i++) {
    const coordinate = value[i]!
    if (!Number.isFinite(coordinate)) {
      throw new AssayError(
        'state/non-finite',
        `expected finite coordinates in ${name}, got ${coordinate} at ${i}`,
      )
    }
    if (Math.abs(coordinate) > MAX_COORDINATE) {
      throw new AssayError(
        'state/out-of-range',
        `expected coordinates up to 2^500 in ${name}, got ${coordinate} at ${i}`,
      )
    }
  }
}

/** Σ aᵢ·bᵢ in sequence. */
export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}

function euclidean(a: Float64Array, b: Float64Array): number {
  let high = 0
  let low = 0
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!
    const square = difference * difference
    const sum = high + square
    const carried = sum - high
    low += high - (sum - carried) + (square - carried) + squareError(difference, square)
    high = sum
  }
  return wideRoot(high, low)
}

/** difference² - square, exactly. */
function squareError(difference: number, square: number): number {
  const scaled = SPLITTER * difference
  const head = scaled - (scaled - difference)
  const tail = difference - head
  return head * head - square + 2 * head * tail + tail * tail
}

/** The root of high + low: one Newton step from the root of the rounded sum. */
function wideRoot(high: number, low: number): number {
  const root = Math.sqrt(high + low)
  if (root === 0) return 0
  const square = root * root
  const residual = high - square - squareError(root, square) + low
  return root + residual / (2 * root)
}

/** 1 - a·b / (|a| |b|); 1 where either is zero. */
function cosine(a: Float64Array, b: Float64Array): number {
  const norms = Math.sqrt(dot(a, a)) * Math.sqrt(dot(b, b))
  return norms === 0 ? 1 : 1 - dot(a, b) / norms
}

function manhattan(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!)
  return sum
}
