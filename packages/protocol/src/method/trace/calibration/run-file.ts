/**
 * A run of another machine as a file: every tensor of some rows, with how they were computed.
 *
 * Tensors are those of state/tensors.ts, whole: distances need values, and thresholds of single nodes need the
 * inputs that the other machine committed to.
 */
import * as z from 'zod/mini'
import { type Cid, isCid } from '../../../core/cid.ts'
import { defineObject } from '../../../core/codec.ts'
import { AssayError } from '../../../core/errors.ts'
import type { Graph } from '../../../onnx/graph.ts'
import { equalTensors, type Tensor } from '../../../state/tensor.ts'
import { decodeTensors, encodeTensors, type NamedTensors } from '../../../state/tensors.ts'
import type { Configuration } from './profile.ts'

/** Bytes of one file: a hundred rows of a model with 5 MB of activations. */
export const MAX_RUN_BYTES = 2 ** 29
/** Rows of one file; ten times what a false alarm rate of 0.1 % takes. */
export const MAX_RUN_ROWS = 10_000

export interface CalibrationRun {
  readonly model: Cid
  readonly configuration: Configuration
  /** Row of the inputs, and the encoded tensors of its trace. */
  readonly rows: readonly { readonly row: number; readonly tensors: Uint8Array }[]
}

const text = z.string().check(z.maxLength(256))

export const runObject = defineObject<CalibrationRun>({
  type: 'assay/calibration-run',
  version: 1,
  maxBytes: MAX_RUN_BYTES,
  maxItems: 2 ** 17,
  schema: z.strictObject({
    model: z.custom<Cid>(isCid, 'expected a content address'),
    configuration: z.strictObject({ name: text, runtime: text, version: text, machine: text }),
    rows: z
      .array(
        z.strictObject({
          row: z.int().check(z.minimum(0)),
          tensors: z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes'),
        }),
      )
      .check(z.maxLength(MAX_RUN_ROWS)),
  }) as z.ZodMiniType<CalibrationRun>,
})

export function runRow(row: number, trace: NamedTensors): CalibrationRun['rows'][number] {
  return { row, tensors: encodeTensors(trace) }
}

/**
 * The trace of one row of a file.
 *
 * @throws AssayError `calibration/other-run` where it is of another model or other inputs, or has not all tensors.
 */
export function readRunRow(
  run: CalibrationRun,
  { graph, row, inputs }: { readonly graph: Graph; readonly row: number; readonly inputs: NamedTensors },
): NamedTensors {
  const other = (what: string) =>
    new AssayError('calibration/other-run', `the run ${JSON.stringify(run.configuration.name)} ${what}`)
  if (run.model !== graph.model.cid) throw other(`is of model ${run.model}, not of ${graph.model.cid}`)
  const found = run.rows.find((candidate) => candidate.row === row)
  if (found === undefined) throw other(`has no row ${row}: record the same rows that are calibrated`)
  const tensors = decodeTensors(found.tensors, { maxBytes: MAX_RUN_BYTES })
  for (const { name, node } of graph.traced) {
    const tensor = Object.hasOwn(tensors, name) ? tensors[name] : undefined
    if (tensor === undefined) throw other(`lacks the tensor ${JSON.stringify(name)} in row ${row}`)
    if (node < 0 && !equalTensors(tensor, inputs[name] as Tensor)) {
      throw other(`starts row ${row} from another input ${JSON.stringify(name)}`)
    }
  }
  return tensors
}
