/**
 * The fast runtime, for Node only: onnxruntime's own CPU build (package onnxruntime-node).
 *
 * This is the one file of the library that does not run in a browser. Tier `native`: results repeat bit for
 * bit on one machine with one number of threads, but differ in the last bits between numbers of threads (for
 * some operators: bench/results/calibration-digits.md) and between kinds of CPU, so that states compared
 * between machines need a tolerance.
 *
 * Threat: models run inside this process, in native code that parses them. Run models of others only when
 * you chose them by their content address.
 */
import { AssayError } from '../core/errors.ts'
import { type OrtApi, openSession } from './ort-session.ts'
import type { Runtime } from './runtime.ts'

export interface NativeRuntimeOptions {
  /** Threads within one operator; 1 by default, which is fastest row by row. */
  readonly threads?: number
  /**
   * Graph optimisations: 'disabled' by default, so that what runs is the graph as written, as in the
   * reproducible runtime. 'all' fuses nodes: faster for large models, other last bits.
   */
  readonly optimisation?: 'disabled' | 'all'
}

/** More than any machine has; a larger number is a mistake. */
const MAX_THREADS = 1024

/** @throws AssayError `onnx/runtime-missing` where onnxruntime-node is not installed, `onnx/runtime` for a bad option. */
export async function nativeRuntime(options: NativeRuntimeOptions = {}): Promise<Runtime> {
  const { threads = 1, optimisation = 'disabled' } = options
  if (!Number.isSafeInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new AssayError('onnx/runtime', `expected 1 to ${MAX_THREADS} threads, got ${threads}`)
  }
  const ort = await importRuntime()
  ort.env.logLevel = 'fatal'
  return {
    name: 'native',
    version: ort.env.versions.node ?? 'unknown',
    tier: 'native',
    open: (model) =>
      openSession(ort, model, {
        executionProviders: ['cpu'],
        graphOptimizationLevel: optimisation,
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
      }),
  }
}

async function importRuntime(): Promise<OrtApi> {
  try {
    const loaded: unknown = await import('onnxruntime-node')
    // A CommonJS package: some bundlers and loaders give its exports under `default` only.
    const module = loaded as OrtApi & { readonly default?: OrtApi }
    return module.InferenceSession === undefined ? module.default! : module
  } catch (cause) {
    throw new AssayError(
      'onnx/runtime-missing',
      'the package onnxruntime-node cannot be loaded: run `npm install onnxruntime-node`',
      { cause },
    )
  }
}
