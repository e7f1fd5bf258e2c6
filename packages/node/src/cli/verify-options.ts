/**
 * The options of `assay verify`, and what of them exclude each other.
 */
import { AssayError } from 'assay/core/errors'
import { isNodeId } from 'assay/core/keys'
import type { Ask } from 'assay/method/sampling/config'
import type { OnnxOptions } from './onnx-job.ts'

/** The verifiers of SPEX, section 5.2.2, and its baseline. */
export const METHODS = ['lazy', 'adversarial', 'baseline'] as const

export interface VerifyOptions extends OnnxOptions {
  readonly method: (typeof METHODS)[number]
  readonly confidence?: number
  readonly faked?: number
  readonly ratio?: number
  readonly samples?: number
  readonly seed?: Uint8Array
  readonly beacon?: boolean
  readonly requestId?: Uint8Array
  readonly nonce?: Uint8Array
  readonly solver?: string
  readonly key?: string
  readonly receipt?: string
}

export const DEFAULT_CONFIDENCE = 0.99
export const DEFAULT_FAKED = 0.05

/** The ask that the options make; `null` for methods that do not sample. */
export function askOf({
  method,
  confidence,
  faked,
  ratio,
  samples,
  seed,
  beacon,
}: VerifyOptions): Ask | null {
  const given = [confidence ?? faked, ratio, samples].filter((value) => value !== undefined)
  if (given.length > 1)
    throw usage('--confidence and --faked, --ratio, and --samples exclude each other: give one')
  if (seed !== undefined && beacon) throw usage('--seed and --beacon exclude each other: give one')
  if (method !== 'lazy') {
    if (ratio === undefined && given.length > 0) {
      throw usage(`--method ${method} draws no sample: leave --confidence, --faked and --samples out`)
    }
    if (method === 'baseline' && ratio !== undefined) {
      throw usage('--method baseline runs everything again: leave --ratio out')
    }
    return null
  }
  if (samples !== undefined) return { samples }
  if (ratio !== undefined) return { verificationRatio: ratio }
  return { confidence: confidence ?? DEFAULT_CONFIDENCE, faked: faked ?? DEFAULT_FAKED }
}

/** Throws `cli/usage` for a `--solver` that is no node id. */
export function checkSolverOption(solver: string | undefined): void {
  if (solver !== undefined && !isNodeId(solver)) {
    throw usage(
      '--solver expects a node id of 64 lower-case hexadecimal digits, as `assay key show` prints it',
    )
  }
}

function usage(message: string): AssayError {
  return new AssayError('cli/usage', message)
}
