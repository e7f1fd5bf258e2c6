/**
 * A model with other weights, or with one node replaced: everything else stays the encoded fields of the file.
 */
import { concatBytes, utf8 } from '../../../core/bytes.ts'
import type { Graph } from '../../../onnx/graph.ts'
import { loadModel, type Model } from '../../../onnx/model.ts'
import { fieldsOf, integersOf, lengthField, varintField } from '../../../onnx/proto-bytes.ts'
import { dataTypeOf, decodeTensorProto, dtypeOf } from '../../../onnx/tensor-proto.ts'
import { prepareTensor, type Tensor } from '../../../state/tensor.ts'
import { isFloat } from './distances.ts'

const MODEL_GRAPH = 7
const GRAPH = { node: 1, initializer: 5 } as const
const NODE = { input: 1, output: 2, opType: 4, attribute: 5 } as const
const ATTRIBUTE_TENSOR = 5
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 } as const

export interface EditedModel {
  readonly model: Model
  /** Tensors that were replaced. */
  readonly edited: number
}

/**
 * Every float tensor of initialisers and Constant nodes goes through `edit`; what it returns as undefined stays.
 * Weights inside subgraphs (If, Loop, Scan) stay as well.
 */
export function editWeights(model: Model, edit: (weight: Tensor) => Tensor | undefined): EditedModel {
  let edited = 0
  const editTensor = (proto: Uint8Array): Uint8Array | undefined => {
    if (!isFloatProto(proto)) return undefined
    const { name, tensor } = decodeTensorProto(proto)
    const changed = edit(tensor)
    if (changed === undefined) return undefined
    edited += 1
    return encodeTensorProto(name, changed)
  }
  const inTensorOf = (field: number) => (message: Uint8Array) =>
    editFields(message, (part) => (part.field === field ? editTensor(part.value) : undefined))
  const attribute = inTensorOf(ATTRIBUTE_TENSOR)
  const bytes = editGraph(model, (part) => {
    if (part.field === GRAPH.initializer) return editTensor(part.value)
    if (part.field !== GRAPH.node || operatorOf(part.value) !== 'Constant') return undefined
    return editFields(part.value, (inner) =>
      inner.field === NODE.attribute ? attribute(inner.value) : undefined,
    )
  })
  return { model: loadModel(bytes), edited }
}

/** What stands in for a node that is skipped: its first input where the shapes agree, or zeros of its shape. */
export type Replacement = { readonly kind: 'input' } | { readonly kind: 'zeros'; readonly like: Tensor }

/** The model without the work of node `index`, whose first output becomes the replacement. */
export function skipNode(graph: Graph, index: number, replacement: Replacement): Model {
  const node = graph.nodes[index]!
  const output = node.outputs[0] as string
  const shapeName = `${output}/skipped-shape`
  const made =
    replacement.kind === 'input'
      ? encodeNode('Identity', [node.inputs[0] as string], { output })
      : encodeNode('ConstantOfShape', [shapeName], { output, attributes: [zeroOf(replacement.like)] })
  const bytes = editGraph(
    graph.model,
    (part) =>
      part.field === GRAPH.node && part.value.byteOffset === node.bytes.byteOffset ? made : undefined,
    replacement.kind === 'zeros'
      ? [lengthField(GRAPH.initializer, shapeProto(shapeName, replacement.like))]
      : [],
  )
  return loadModel(bytes)
}

type Edit = (part: { readonly field: number; readonly value: Uint8Array }) => Uint8Array | undefined

function editGraph(model: Model, edit: Edit, extra: readonly Uint8Array[] = []): Uint8Array {
  return editFields(model.bytes, ({ field, value }) =>
    field === MODEL_GRAPH ? concatBytes(editFields(value, edit), ...extra) : undefined,
  )
}

/** The message with the values of some length-delimited fields replaced. */
function editFields(message: Uint8Array, edit: Edit): Uint8Array {
  const parts: Uint8Array[] = []
  for (const { field, value, whole } of fieldsOf(message)) {
    const changed = edit({ field, value })
    parts.push(changed === undefined ? whole : lengthField(field, changed))
  }
  return concatBytes(...parts)
}

function operatorOf(node: Uint8Array): string {
  let operator = ''
  for (const { field, value } of fieldsOf(node))
    if (field === NODE.opType) operator = new TextDecoder().decode(value)
  return operator
}

function isFloatProto(proto: Uint8Array): boolean {
  const dtype = dtypeOf(integersOf(proto, TENSOR.dataType).at(-1) ?? 0)
  return dtype !== undefined && isFloat({ dtype })
}

function encodeTensorProto(name: string, tensor: Tensor): Uint8Array {
  return concatBytes(
    ...tensor.shape.map((size) => varintField(TENSOR.dims, size)),
    varintField(TENSOR.dataType, dataTypeOf(tensor.dtype)),
    lengthField(TENSOR.name, utf8(name)),
    lengthField(TENSOR.rawData, prepareTensor(tensor).data),
  )
}

function shapeProto(name: string, { shape }: Tensor): Uint8Array {
  const data = BigInt64Array.from(shape, BigInt)
  return encodeTensorProto(name, { dtype: 'int64', shape: [shape.length], data })
}

/** The attribute `value` of ConstantOfShape: one zero of the type. */
function zeroOf({ dtype }: Tensor): Uint8Array {
  const data =
    dtype === 'float64' ? new Float64Array(1) : dtype === 'float16' ? new Uint16Array(1) : new Float32Array(1)
  const tensorAttribute = 4
  return concatBytes(
    lengthField(1, utf8('value')),
    lengthField(ATTRIBUTE_TENSOR, encodeTensorProto('', { dtype, shape: [1], data })),
    varintField(20, tensorAttribute),
  )
}

function encodeNode(
  operator: string,
  inputs: readonly string[],
  { output, attributes = [] }: { readonly output: string; readonly attributes?: readonly Uint8Array[] },
): Uint8Array {
  return concatBytes(
    ...inputs.map((name) => lengthField(NODE.input, utf8(name))),
    lengthField(NODE.output, utf8(output)),
    lengthField(NODE.opType, utf8(operator)),
    ...attributes.map((attribute) => lengthField(NODE.attribute, attribute)),
  )
}
