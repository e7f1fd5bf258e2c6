/** The runtimes by the names that the command line gives them. */
import type { Runtime } from 'assay/onnx/runtime'
import { nativeRuntime } from 'assay/onnx/runtime-native'
import { wasmRuntime } from 'assay/onnx/runtime-wasm'

export const RUNTIMES = ['wasm', 'native'] as const satisfies readonly Runtime['name'][]
export type RuntimeName = (typeof RUNTIMES)[number]

export function openRuntime(name: RuntimeName): Promise<Runtime> {
  return name === 'wasm' ? wasmRuntime() : nativeRuntime()
}
