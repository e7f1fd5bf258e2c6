/**
 * Whether named tensors fit what a model takes: names, element types, ranks, sizes.
 *
 * Runtimes check this too, each in its own way and words; here every refusal has a code, and names the
 * input, what was expected and what came.
 */
import { AssayError } from '../core/errors.ts'
import type { Tensor } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import type { ValueInfo } from './model.ts'

/** Refuses missing and unknown names: `input/missing`, `input/unknown-name`. */
export function assertInputNames(inputs: NamedTensors, expected: readonly ValueInfo[]): void {
  // The way of every row: nothing is allocated.
  let found = 0
  for (const { name } of expected) if (Object.hasOwn(inputs, name)) found++
  if (found === expected.length && Object.keys(inputs).length === found) return
  const missing = expected.filter(({ name }) => !Object.hasOwn(inputs, name)).map(({ name }) => name)
  const unknown = Object.keys(inputs).filter((name) => !expected.some((info) => info.name === name))
  const wanted = expected.map(({ name }) => JSON.stringify(name)).join(', ') || 'none'
  if (unknown.length > 0) {
    throw new AssayError(
      'input/unknown-name',
      `the model has no input ${JSON.stringify(unknown[0])}; its inputs are ${wanted}`,
      { detail: { unknown, missing } },
    )
  }
  if (missing.length > 0) {
    throw new AssayError(
      'input/missing',
      `input ${JSON.stringify(missing[0])} of the model is missing; its inputs are ${wanted}`,
      { detail: { missing } },
    )
  }
}

/** Refuses what `assertInputNames` refuses, then `input/dtype` and `input/shape`. Symbolic sizes must agree with one another. */
export function assertInputs(inputs: NamedTensors, expected: readonly ValueInfo[]): void {
  assertInputNames(inputs, expected)
  const sizes = new Map<string, number>()
  for (const info of expected) assertInput(inputs[info.name]!, info, sizes)
}

function assertInput(value: Tensor, info: ValueInfo, sizes: Map<string, number>): void {
  assertDtype(value, info)
  const { dims } = info
  if (dims === null) return
  if (value.shape.length !== dims.length) throw wrongShape(value, info)
  for (let axis = 0; axis < dims.length; axis++) {
    const dim = dims[axis]!
    const size = value.shape[axis]!
    if (typeof dim === 'number') {
      if (dim !== size) throw wrongShape(value, info)
    } else if (typeof dim === 'string') {
      const known = sizes.get(dim) ?? size
      if (known !== size) throw wrongShape(value, info, `, where another input has ${dim} = ${known}`)
      sizes.set(dim, size)
    }
  }
}

/** Refuses another element type than the model's: `input/dtype`. */
export function assertDtype(value: Tensor, { name, dtype }: ValueInfo): void {
  if (value.dtype !== dtype) {
    throw new AssayError(
      'input/dtype',
      `input ${JSON.stringify(name)} must be ${dtype}, got ${value.dtype}: convert it`,
      { detail: { input: name, expected: dtype, got: value.dtype } },
    )
  }
}

function wrongShape(value: Tensor, { name, dims }: ValueInfo, why = ''): AssayError {
  const expected = (dims ?? []).map((dim) => dim ?? '?')
  return new AssayError(
    'input/shape',
    `input ${JSON.stringify(name)} must have shape [${expected.join(', ')}], got [${value.shape.join(', ')}]${why}`,
    { detail: { input: name, expected, got: [...value.shape] } },
  )
}
