/**
 * How far two runs are apart: which tensors differ, and by how much, absolutely and in units in the last place.
 *
 * A distance in units in the last place counts the representable numbers between two values, so that it grows
 * without bound where a difference of large terms comes out near zero; the absolute one says how much that matters.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHalfBits } from 'assay/onnx/float16'
import { decodeTensor, MAX_TENSOR_BYTES } from 'assay/state/tensor'

/** Positions at which digests differ; a trace of other tensors than expected differs from there on. */
export function differingPositions(expected, got) {
  const same = (a, b) => a?.name === b?.name && a?.digest === b?.digest
  const count = Math.max(expected.length, got.length)
  return Array.from({ length: count }, (_, at) => at).filter((at) => !same(expected[at], got[at]))
}

/**
 * Of two runs of job number `at` whose tensors were kept: `[{ name, operator, maxAbs, relative, maxUlp, values, differing }]`,
 * one entry for each tensor that differs, in the order of the trace.
 */
export function differences({ expected, got, at }) {
  const [a, b] = [expected, got].map(({ tensors }) => tensors)
  return differingPositions(a, b).map((position) => {
    const [left, right] = [expected, got].map(({ dump }) => kept(dump, at, position))
    const { name, operator } = a[position]
    return { name, operator, ...distance(left, right) }
  })
}

function kept(dump, at, position) {
  const bytes = new Uint8Array(readFileSync(join(dump, `${at}-${position}`)))
  return decodeTensor(bytes, { maxBytes: MAX_TENSOR_BYTES })
}

/** `relative` is `maxAbs` over the largest magnitude in the first tensor; `maxUlp` is null for what is not a float. */
export function distance(a, b) {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) {
    const [maxAbs, values] = [Number.POSITIVE_INFINITY, b.data.length]
    return { maxAbs, relative: maxAbs, maxUlp: null, values, differing: values }
  }
  const value = a.dtype === 'float16' ? fromHalfBits : Number
  const [ordersA, ordersB] = [orders(a), orders(b)]
  let [maxAbs, maxUlp, differing, largest] = [0, ordersA === null ? null : 0, 0, 0]
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [value(a.data[i]), value(b.data[i])]
    if (Math.abs(x) > largest) largest = Math.abs(x)
    if (Object.is(x, y)) continue
    differing += 1
    const apart = Math.abs(x - y)
    maxAbs = Math.max(maxAbs, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart)
    if (ordersA !== null) maxUlp = Math.max(maxUlp, Math.abs(Number(ordersA(i) - ordersB(i))))
  }
  const relative = maxAbs === 0 ? 0 : maxAbs / largest
  return { maxAbs, relative, maxUlp, values: a.data.length, differing }
}

/** The position of a float among all floats of its type, in order; both zeros have the same. */
function orders({ dtype, data }) {
  if (dtype === 'float16') return (i) => (data[i] & 0x8000 ? -(data[i] & 0x7fff) : data[i])
  if (dtype === 'float32') {
    const bits = new Int32Array(data.buffer, data.byteOffset, data.length)
    return (i) => (bits[i] < 0 ? -(bits[i] & 0x7fffffff) : bits[i])
  }
  if (dtype === 'float64') {
    const bits = new BigInt64Array(data.buffer, data.byteOffset, data.length)
    return (i) => (bits[i] < 0n ? -BigInt.asUintN(63, bits[i]) : bits[i])
  }
  return null
}
