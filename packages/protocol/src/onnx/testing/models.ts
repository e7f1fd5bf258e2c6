/**
 * Small ONNX models, built for the tests of this folder: no binary files, and every part can be broken.
 */
import onnxProto from 'onnx-proto'

type IModelProto = onnxProto.onnx.IModelProto
type IGraphProto = onnxProto.onnx.IGraphProto
type INodeProto = onnxProto.onnx.INodeProto
type ITensorProto = onnxProto.onnx.ITensorProto
type IValueInfoProto = onnxProto.onnx.IValueInfoProto

/** TensorProto.DataType numbers that the tests use. */
export const TYPE = { float: 1, uint8: 2, int64: 7, string: 8, bool: 9, float16: 10, bfloat16: 16 } as const

export function value(
  name: string,
  elemType: number,
  dims: readonly (number | string)[] | null,
): IValueInfoProto {
  const dim = dims?.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }))
  return { name, type: { tensorType: dim === undefined ? { elemType } : { elemType, shape: { dim } } } }
}

export function node(opType: string, input: string[], output: string[], rest: INodeProto = {}): INodeProto {
  return { opType, input, output, name: `${opType}_${output[0]}`, ...rest }
}

export function floats(name: string, dims: number[], data: number[]): ITensorProto {
  return { name, dims, dataType: TYPE.float, floatData: data }
}

export function int64s(name: string, dims: number[], data: number[]): ITensorProto {
  return { name, dims, dataType: TYPE.int64, int64Data: data }
}

export function modelProto(graph: IGraphProto, rest: IModelProto = {}): IModelProto {
  return { irVersion: 8, opsetImport: [{ domain: '', version: 13 }], graph: { name: 'g', ...graph }, ...rest }
}

/** A plain Uint8Array, as a browser would have it. */
export function encode(model: IModelProto): Uint8Array {
  return Uint8Array.from(onnxProto.onnx.ModelProto.encode(model).finish())
}

export function encodeTensorProto(proto: ITensorProto): Uint8Array {
  return Uint8Array.from(onnxProto.onnx.TensorProto.encode(proto).finish())
}

/** y = relu(x · w + b) over rows of four, with the leading dimension open or fixed. */
export function denseGraph(leading: number | string = 'n'): IGraphProto {
  const w = Array.from({ length: 12 }, (_, i) => Math.sin(i + 1))
  return {
    node: [node('MatMul', ['x', 'w'], ['xw']), node('Add', ['xw', 'b'], ['z']), node('Relu', ['z'], ['y'])],
    input: [value('x', TYPE.float, [leading, 4])],
    output: [value('y', TYPE.float, [leading, 3])],
    initializer: [floats('w', [4, 3], w), floats('b', [3], [0.25, -0.5, 0.125])],
  }
}

export function denseModel(leading: number | string = 'n'): Uint8Array {
  return encode(modelProto(denseGraph(leading)))
}
