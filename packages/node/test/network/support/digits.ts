/** Some of the handwritten digits as a job, with the rows that this machine gives. */
import { openBatch } from 'assay/onnx/batch'
import type { NumericData, Tensor } from 'assay/state/tensor'
import { encodeTensors, type NamedTensors } from 'assay/state/tensors'
import { addressOf } from 'assay/wire/blob-transfer'
import type { JobDraft } from 'assay/wire/submit'
import { DIGITS_FOLDER, readDigits } from '../../../src/cli/digits.ts'
import { openRuntime } from '../../../src/cli/onnx-runtime.ts'
import type { TestJob } from './work.ts'

export async function digits(rows: number, draft: Partial<JobDraft> = {}): Promise<TestJob> {
  const { model, inputs } = await readDigits(DIGITS_FOLDER)
  const some = firstRows(inputs, rows)
  const batch = await openBatch(model, await openRuntime('wasm'), { batch: 'first-axis' })
  const expected: Uint8Array[] = []
  for (let index = 0; index < rows; index++) expected.push(encodeTensors(await batch.row(some, index)))
  await batch.close()
  const input = encodeTensors(some)
  const { segmentRows = 8, pricePerSegment = 2 } = draft
  return {
    draft: {
      name: 'digits',
      work: { kind: 'onnx', model: model.cid, runtime: 'reproducible', batch: 'first-axis' },
      rows,
      segmentRows,
      pricePerSegment,
      budget: 3 * pricePerSegment * Math.ceil(rows / segmentRows),
      ...draft,
    },
    input,
    inputCid: await addressOf(input),
    content: [model.bytes],
    expected,
  }
}

function firstRows(tensors: NamedTensors, rows: number): NamedTensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]): [string, Tensor] => {
      const [all = 1, ...rest] = tensor.shape
      const data = tensor.data as NumericData
      return [name, { ...tensor, shape: [rows, ...rest], data: data.slice(0, (data.length / all) * rows) }]
    }),
  )
}
