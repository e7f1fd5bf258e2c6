/**
 * Thresholds by order statistics, and the profile that carries them.
 *
 * Of N honest distances that are exchangeable with the next one, the ceil((N+1)(1-alpha))-th smallest is
 * exceeded by the next with probability at most alpha, whatever their distribution. So N >= 1/alpha - 1.
 * `safety` multiplies that: 1 keeps the rate that was asked for, 2 allows honest machines that were not
 * measured twice the distance. It holds for a tensor, not for all of them together: with m tensors compared,
 * one of them alarms at most m·alpha of the time.
 *
 * A profile holds for one model, one runtime version on each side, and the kinds of machine that were measured.
 *
 * Threat: a profile with wide thresholds lets cheats pass. Take profiles signed by a calibrator that you trust
 * (receipt/profile.ts), or make your own. Committed tensors are hostile: the scale is the verifier's.
 */
import * as z from 'zod/mini'
import { type Cid, isCid } from '../../../core/cid.ts'
import { defineObject } from '../../../core/codec.ts'
import { AssayError } from '../../../core/errors.ts'
import type { Model } from '../../../onnx/model.ts'
import type { Runtime } from '../../../onnx/runtime.ts'
import { isDtype } from '../../../onnx/tensor-proto.ts'
import type { Dtype, Tensor } from '../../../state/tensor.ts'
import type { NamedTensors } from '../../../state/tensors.ts'
import type { CheckOptions } from '../verifier.ts'
import { relativeDistance, tensorDistance } from './distances.ts'

/** Tensors of one profile; as many as a trace may have. */
export const MAX_PROFILE_TENSORS = 2 ** 16
/** Some 100 bytes a tensor. */
export const MAX_PROFILE_BYTES = 2 ** 24
/** A factor beyond this is no safety margin, but a hole. */
export const MAX_SAFETY = 100

/** How a side runs the model. */
export interface Configuration {
  /** Unique among those of one calibration: 'native, 2 threads'. */
  readonly name: string
  readonly runtime: string
  readonly version: string
  /** Kind of CPU and system, in words; '' where it is not known. */
  readonly machine: string
}

export interface Threshold {
  /** Name of the tensor. */
  readonly name: string
  /** Largest relative distance that is accepted; 0 demands equal numbers. */
  readonly threshold: number
  /** The scale counts for no less than this. */
  readonly floor: number
}

export interface CalibrationProfile {
  /** Content address of the model. */
  readonly model: Cid
  /** Type of the floats. */
  readonly dtype: Dtype
  readonly verifier: Configuration
  readonly provers: readonly Configuration[]
  /** False alarm rate asked for, of one tensor. */
  readonly alpha: number
  /** Honest rows, N. */
  readonly samples: number
  readonly safety: number
  /** When it was made: YYYY-MM-DD. */
  readonly date: string
  /** Of one node, run again on the committed inputs. */
  readonly layers: readonly Threshold[]
  /** Of the outputs of a whole run. */
  readonly outputs: readonly Threshold[]
}

const text = z.string().check(z.maxLength(256))
const configuration = z.strictObject({
  name: text.check(z.minLength(1)),
  runtime: text,
  version: text,
  machine: text,
})
/** The encoding holds no integers beyond it; scales of 10^16 and more are those of masks. */
export const MAX_FIGURE = Number.MAX_SAFE_INTEGER
const notNegative = z.number().check(z.minimum(0), z.maximum(MAX_FIGURE))
const thresholds = z
  .array(
    z.strictObject({ name: z.string().check(z.maxLength(1024)), threshold: notNegative, floor: notNegative }),
  )
  .check(
    z.maxLength(MAX_PROFILE_TENSORS),
    z.refine((list) => new Set(list.map(({ name }) => name)).size === list.length, 'each tensor once'),
  )

export const profileObject = defineObject<CalibrationProfile>({
  type: 'assay/calibration-profile',
  version: 1,
  maxBytes: MAX_PROFILE_BYTES,
  maxItems: 2 ** 20,
  schema: z.strictObject({
    model: z.custom<Cid>(isCid, 'expected a content address'),
    dtype: z.custom<Dtype>(isDtype, 'expected an element type'),
    verifier: configuration,
    provers: z.array(configuration).check(z.minLength(1), z.maxLength(64)),
    alpha: z.number().check(z.gt(0), z.lt(1)),
    samples: z.int().check(z.minimum(1)),
    safety: z.number().check(z.minimum(1), z.maximum(MAX_SAFETY)),
    date: z.string().check(z.regex(/^\d{4}-\d{2}-\d{2}$/, 'a date as YYYY-MM-DD')),
    layers: thresholds,
    outputs: thresholds,
  }) as z.ZodMiniType<CalibrationProfile>,
})

/** Rows that a false alarm rate takes at least: 99 for 1 %, 999 for 0.1 %. */
export function samplesFor(alpha: number): number {
  return Math.ceil(1 / alpha - 1e-9) - 1
}

/**
 * The ceil((N+1)(1-alpha))-th smallest of N distances.
 *
 * @throws AssayError `calibration/too-few` for N below 1/alpha - 1, `calibration/config` for alpha outside (0, 1).
 */
export function orderStatistic(distances: readonly number[], alpha: number): number {
  if (!(alpha > 0 && alpha < 1)) {
    throw new AssayError(
      'calibration/config',
      `expected a false alarm rate above 0 and below 1, got ${alpha}`,
    )
  }
  const count = distances.length
  const rank = Math.max(1, Math.ceil((count + 1) * (1 - alpha) - 1e-9))
  if (rank > count) {
    const needed = samplesFor(alpha)
    throw new AssayError(
      'calibration/too-few',
      `a false alarm rate of ${alpha} takes at least ${needed} honest rows, got ${count}`,
      { detail: { needed, got: count, alpha } },
    )
  }
  return Float64Array.from(distances).sort()[rank - 1] as number
}

/**
 * What `checkOpenings` calls `agree`: whether a committed tensor lies within the threshold of the one computed
 * again. A tensor that the profile does not know must be equal.
 *
 * @example
 * const evidence = await checkOpenings(graph, asked, { runtime, agree: agreeWithin(profile) })
 */
export function agreeWithin(profile: Pick<CalibrationProfile, 'layers'>): NonNullable<CheckOptions['agree']> {
  const known = new Map(profile.layers.map((layer) => [layer.name, layer]))
  return (computed, committed, { output }) => within(known.get(output), computed, committed)
}

/** Whether the outputs of a whole run lie within the thresholds of the verifier's own. */
export function outputsAgree(
  profile: Pick<CalibrationProfile, 'outputs'>,
  computed: NamedTensors,
  claimed: NamedTensors,
): boolean {
  const known = new Map(profile.outputs.map((output) => [output.name, output]))
  return Object.entries(computed).every(([name, tensor]) => {
    const other = Object.hasOwn(claimed, name) ? claimed[name] : undefined
    return other !== undefined && within(known.get(name), tensor, other)
  })
}

function within(known: Threshold | undefined, computed: Tensor, committed: Tensor): boolean {
  const { threshold, floor } = known ?? { threshold: 0, floor: 0 }
  return relativeDistance(tensorDistance(computed, committed), floor) <= threshold
}

/** Throws `calibration/other-model` or `calibration/other-runtime` where the profile is for something else. */
export function assertProfileFits(
  profile: CalibrationProfile,
  {
    model,
    runtime,
  }: { readonly model: Pick<Model, 'cid'>; readonly runtime: Pick<Runtime, 'name' | 'version'> },
): void {
  if (profile.model !== model.cid) {
    throw new AssayError(
      'calibration/other-model',
      `the profile is for model ${profile.model}, and this is ${model.cid}`,
      { detail: { expected: profile.model, got: model.cid } },
    )
  }
  const { verifier } = profile
  if (verifier.runtime !== runtime.name || verifier.version !== runtime.version) {
    throw new AssayError(
      'calibration/other-runtime',
      `the profile is for a verifier with ${verifier.runtime} ${verifier.version}, and this one runs ${runtime.name} ${runtime.version}`,
    )
  }
}
