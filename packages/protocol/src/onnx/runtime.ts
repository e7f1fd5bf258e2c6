/**
 * What runs models: the interface that tasks, trace and command line see.
 *
 * Two implementations: runtime-wasm.ts (tier `reproducible`: the same bits on every CPU and in a browser)
 * and runtime-native.ts (tier `native`: several times faster, the same bits only on the same kind of CPU).
 */
import type { Dtype } from '../state/tensor.ts'
import type { NamedTensors } from '../state/tensors.ts'
import type { Dim, Model } from './model.ts'

/** How far results of one runtime repeat: on any machine bit for bit, or within a calibrated tolerance. */
export type RuntimeTier = 'reproducible' | 'native'

export interface Runtime {
  readonly name: 'wasm' | 'native'
  /** Version of the runtime package. Results are compared between equal versions only. */
  readonly version: string
  readonly tier: RuntimeTier
  /** @throws AssayError `onnx/unsupported-operator`, `onnx/runtime`. */
  open(model: Model): Promise<Session>
}

/** What the runtime knows of an output before a run, by its own inference of types and shapes. */
export interface SessionOutput {
  readonly name: string
  /** Null for what is not a tensor (sequence, map, optional), or a tensor of a type that is not held here. */
  readonly dtype: Dtype | null
  /** The type in words, for messages. */
  readonly type: string
  /** Sizes, or names of sizes, or null for neither. The runtime says [] for scalars and for unknown ranks alike. */
  readonly dims: readonly Dim[]
}

/** A loaded model, ready to run; holds memory outside the JavaScript heap until it is closed. */
export interface Session {
  /** The declared outputs of the model, then those that it exposes. */
  readonly outputs: readonly SessionOutput[]
  /**
   * One inference. The inputs are read, not kept; the outputs are fresh.
   *
   * @throws AssayError `input/missing`, `input/unknown-name`, `input/dtype`, `input/shape`, `onnx/runtime`, `onnx/closed`.
   */
  run(inputs: NamedTensors): Promise<NamedTensors>
  /** Waits for runs under way, then frees the model. May be called again. */
  close(): Promise<void>
}
