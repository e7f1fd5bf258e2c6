/**
 * How far two float tensors lie apart, and the distances of many honest runs.
 *
 * The distance is the largest difference of two elements, divided by the scale of the tensor: the largest
 * magnitude of what the verifier computed itself, never of what a prover chose. A floor, which calibration
 * takes from honest runs, keeps tensors of nearly nothing from making large distances of rounding.
 *
 * NaN and infinities: they must stand at the same places (any NaN is as good as another, infinities keep their
 * sign); else the distance is infinite. So it is for other types or shapes, and for integers, bools and texts
 * that are not the same.
 */

import { fromHalfBits } from '../../../onnx/float16.ts'
import { equalTensors, type Tensor } from '../../../state/tensor.ts'

/** In units of the tensor's elements. */
export interface Distance {
  /** Largest |a - b|; 0 where all is equal, Infinity where the tensors cannot be compared. */
  readonly absolute: number
  /** Largest finite |a| of the reference. */
  readonly scale: number
}

const NOT_COMPARABLE: Distance = { absolute: Number.POSITIVE_INFINITY, scale: 0 }
const EQUAL: Distance = { absolute: 0, scale: 0 }

/** `reference` is the verifier's own tensor. */
export function tensorDistance(reference: Tensor, other: Tensor): Distance {
  if (reference.dtype !== other.dtype || !sameShape(reference.shape, other.shape)) return NOT_COMPARABLE
  const ours = floatsOf(reference)
  const theirs = floatsOf(other)
  if (ours === undefined || theirs === undefined) {
    return equalTensors(reference, other) ? EQUAL : NOT_COMPARABLE
  }
  let absolute = 0
  let scale = 0
  for (let i = 0; i < ours.length; i++) {
    const a = ours[i] as number
    const b = theirs[i] as number
    if (Number.isFinite(a)) {
      const magnitude = a < 0 ? -a : a
      if (magnitude > scale) scale = magnitude
      if (a === b) continue
      const difference = a < b ? b - a : a - b
      // A NaN or an infinity where the reference has a number.
      if (!Number.isFinite(difference)) return NOT_COMPARABLE
      if (difference > absolute) absolute = difference
    } else if (!Object.is(a, b)) return NOT_COMPARABLE
  }
  return { absolute, scale }
}

/** The distance in parts of the scale, which counts for no less than `floor`. */
export function relativeDistance({ absolute, scale }: Distance, floor: number): number {
  return absolute === 0 ? 0 : absolute / Math.max(scale, floor)
}

/** Whether a tensor is compared by distance; all other types must be equal. */
export function isFloat({ dtype }: Pick<Tensor, 'dtype'>): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16'
}

/** The elements as numbers; undefined for other types than floats. */
export function floatsOf({ dtype, data }: Tensor): Float32Array | Float64Array | undefined {
  if (dtype === 'float16') return Float32Array.from(data as Uint16Array, fromHalfBits)
  return dtype === 'float32' || dtype === 'float64' ? (data as Float32Array | Float64Array) : undefined
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis])
}

/** Distances of one tensor: for each configuration, one of each row, in order of the rows. */
export type TensorSamples = ReadonlyMap<string, readonly Distance[]>

/** Collects distances row by row; nothing of the tensors is kept. */
export interface DistanceLog {
  readonly samples: ReadonlyMap<string, TensorSamples>
  add(place: { readonly name: string; readonly configuration: string }, distance: Distance): void
}

export function distanceLog(): DistanceLog {
  const samples = new Map<string, Map<string, Distance[]>>()
  return {
    samples,
    add({ name, configuration }, distance) {
      const byConfiguration = samples.get(name) ?? new Map<string, Distance[]>()
      samples.set(name, byConfiguration)
      const list = byConfiguration.get(configuration) ?? []
      byConfiguration.set(configuration, list)
      list.push(distance)
    },
  }
}

/** The smallest scale other than 0 that was seen; 0 where there was none. */
export function scaleFloor(samples: TensorSamples): number {
  let floor = Number.POSITIVE_INFINITY
  for (const list of samples.values()) {
    for (const { scale } of list) if (scale > 0 && scale < floor) floor = scale
  }
  return Number.isFinite(floor) ? floor : 0
}

/**
 * One number a row: its largest relative distance over the configurations. Rows are what is drawn at random;
 * configurations of one row are not independent, so that they must not count as so many samples.
 */
export function rowDistances(samples: TensorSamples, floor: number): number[] {
  const rows: number[] = []
  for (const list of samples.values()) {
    for (const [row, distance] of list.entries()) {
      rows[row] = Math.max(rows[row] ?? 0, relativeDistance(distance, floor))
    }
  }
  return rows
}
