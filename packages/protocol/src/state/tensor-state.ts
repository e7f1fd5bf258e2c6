/**
 * Exact states that are tensors: one, or a record of them by name. For the deterministic runtimes, where
 * honest machines agree to the last bit; tolerant-tensors.ts serves the others.
 */
import { AssayError } from '../core/errors.ts'
import { exactKind } from './exact.ts'
import type { StateKind } from './kind.ts'
import {
  assertTensor,
  type Dtype,
  decodeTensor,
  encodeTensor,
  MAX_TENSOR_BYTES,
  type Tensor,
} from './tensor.ts'
import { assertNamedTensors, decodeTensors, encodeTensors, type NamedTensors } from './tensors.ts'

/** What a tensor must be; an axis of `null` may have any size, an absent field is free. */
export interface TensorConstraint {
  readonly dtype?: Dtype
  readonly shape?: readonly (number | null)[]
}

/**
 * Exact states that are one tensor. `guessProbability` defaults to 0: give it where the tensor has few
 * possible values, such as one class out of ten.
 */
export function tensorState(
  options: TensorConstraint & { readonly guessProbability?: number } = {},
): StateKind<Tensor> {
  const { dtype, shape, guessProbability = 0 } = options
  const check = (value: Tensor): void => assertConstraint(value, options)
  return exactKind<Tensor>({
    name: 'tensor',
    parameters: { dtype: dtype ?? null, shape: shape === undefined ? null : [...shape] },
    guessProbability,
    assert(value): asserts value is Tensor {
      assertTensor(value)
      check(value)
    },
    encode(state) {
      check(state)
      return encodeTensor(state)
    },
    decode(bytes) {
      const state = decodeTensor(bytes, { maxBytes: MAX_TENSOR_BYTES })
      check(state)
      return state
    },
  })
}

/** Exact states that are records of named tensors. With `names`, exactly those names must be there. */
export function tensorsState(
  options: { readonly names?: readonly string[]; readonly guessProbability?: number } = {},
): StateKind<NamedTensors> {
  const names = options.names === undefined ? undefined : [...options.names].sort()
  const check = (state: NamedTensors): void => {
    if (names === undefined) return
    const found = Object.keys(state).sort()
    if (found.length !== names.length || found.some((name, i) => name !== names[i])) {
      throw new AssayError(
        'state/shape',
        `expected tensors named ${names.join(', ')}, got ${found.join(', ')}`,
      )
    }
  }
  return exactKind<NamedTensors>({
    name: 'tensors',
    parameters: { names: names ?? null },
    guessProbability: options.guessProbability ?? 0,
    assert(value): asserts value is NamedTensors {
      assertNamedTensors(value)
      check(value)
    },
    encode(state) {
      check(state)
      return encodeTensors(state)
    },
    decode(bytes) {
      const state = decodeTensors(bytes, { maxBytes: MAX_TENSOR_BYTES })
      check(state)
      return state
    },
  })
}

function assertConstraint(value: Tensor, { dtype, shape }: TensorConstraint): void {
  const fits =
    (dtype === undefined || value.dtype === dtype) &&
    (shape === undefined ||
      (shape.length === value.shape.length &&
        shape.every((dim, i) => dim === null || dim === value.shape[i])))
  if (!fits) {
    const wanted = shape === undefined ? 'any shape' : `[${shape.map((dim) => dim ?? '?').join()}]`
    throw new AssayError(
      'state/shape',
      `expected a tensor of ${dtype ?? 'any dtype'} ${wanted}, got ${value.dtype} [${value.shape.join()}]`,
    )
  }
}
