/**
 * The reproducible runtime: onnxruntime compiled to WebAssembly (package onnxruntime-web).
 *
 * Tier `reproducible`: with graph optimisations off and one thread, float results were bit-identical on
 * every CPU that was tried, and are by design of WebAssembly, whose float arithmetic is IEEE 754 without
 * fused operations; only NaN payloads may differ. Node and browsers load the same binary
 * (ort-wasm-simd-threaded.wasm), which is why the import is `onnxruntime-web/wasm` and not the package root,
 * which in a browser is another build.
 */
import { AssayError } from '../core/errors.ts'
import { type OrtApi, openSession } from './ort-session.ts'
import type { Runtime } from './runtime.ts'

export interface WasmRuntimeOptions {
  /** Where a browser fetches the binary from: a folder URL ending in '/'. Default: beside the module. */
  readonly wasmPaths?: string
  /** The binary itself, for places without fetch. */
  readonly wasmBinary?: Uint8Array
}

/**
 * Options take effect before the first session of the process only: onnxruntime-web is one per process.
 *
 * @throws AssayError `onnx/runtime-missing` where onnxruntime-web is not installed.
 */
export async function wasmRuntime(options: WasmRuntimeOptions = {}): Promise<Runtime> {
  const ort = await importRuntime()
  ort.env.logLevel = 'fatal'
  ort.env.wasm.numThreads = 1
  if (options.wasmPaths !== undefined) ort.env.wasm.wasmPaths = options.wasmPaths
  if (options.wasmBinary !== undefined) ort.env.wasm.wasmBinary = options.wasmBinary
  return {
    name: 'wasm',
    version: ort.env.versions.web ?? 'unknown',
    tier: 'reproducible',
    open: (model) =>
      openSession(ort, model, { executionProviders: ['wasm'], graphOptimizationLevel: 'disabled' }),
  }
}

async function importRuntime(): Promise<OrtApi> {
  try {
    return (await import('onnxruntime-web/wasm')) as unknown as OrtApi
  } catch (cause) {
    throw new AssayError(
      'onnx/runtime-missing',
      'the package onnxruntime-web cannot be loaded: run `npm install onnxruntime-web`',
      { cause },
    )
  }
}
