/**
 * A canary out of a pool of known answers: some of its rows, in another order, so that nodes that have seen the pool's
 * input, or an earlier canary, do not know this one by its address.
 *
 * Records of wasm and chat are drawn one by one. Rows of ONNX are a range along the first axis, where all inputs have as
 * many rows; else the whole input goes as it is, and is known again by whoever keeps a list.
 */
import { toBase64 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { rangeOfFirstAxis } from 'assay/state/tensor'
import { decodeTensors, encodeTensors } from 'assay/state/tensors'
import { decodeRows, encodeRows } from 'assay/task/rows'
import type { JobSpec } from 'assay/wire/job'
import { MAX_INLINE_BYTES } from 'assay/wire/text'

/** Input and answers of one pool: they are read whole for each draw. */
export const MAX_POOL_BYTES = 2 ** 26
/** Segments of one canary: as few as many real jobs have. */
const MAX_SEGMENTS = 4

export interface CanaryPool {
  /** As of an ordinary job; rows, input and budget follow from the draw. */
  readonly spec: JobSpec
  readonly input: Uint8Array
  /** Of each row of the input, in order. */
  readonly answers: readonly Uint8Array[]
}

export interface DrawnCanary {
  readonly spec: JobSpec
  readonly input: Uint8Array
  readonly answers: readonly Uint8Array[]
}

/** `random`: uniform from 0 to below 1, and not to be foreseen. Throws 'canary/answers' for a pool that is none. */
export function drawCanary(pool: CanaryPool, random: () => number): DrawnCanary {
  const { spec, answers } = pool
  if (answers.length === 0)
    throw new AssayError('canary/answers', 'expected at least one row with its answer')
  const most = Math.min(answers.length, MAX_SEGMENTS * spec.segmentRows)
  const least = Math.min(most, spec.segmentRows)
  const rows = least + Math.floor(random() * (most - least + 1))
  const drawn = spec.work.kind === 'onnx' ? drawRange(pool, rows, random) : drawRecords(pool, rows, random)
  return { ...drawn, spec: specOf(spec, drawn) }
}

/** As a submitter of the same work would ask for so many rows. */
function specOf(spec: JobSpec, { input, answers }: Omit<DrawnCanary, 'spec'>): JobSpec {
  const rows = answers.length
  const segmentRows = Math.min(spec.segmentRows, rows)
  const runs = spec.validation.redundancy === undefined ? 1 : 3
  const budget = Math.ceil(rows / segmentRows) * spec.pricePerSegment * runs
  const isSmall = input.length <= MAX_INLINE_BYTES
  const ref = isSmall ? { inline: toBase64(input) } : { cid: contentAddress(input, 'raw') }
  return { ...spec, rows, segmentRows, budget, input: ref }
}

function drawRecords({ input, answers }: CanaryPool, rows: number, random: () => number) {
  const records = decodeRows(input)
  if (records.length !== answers.length) throw misfit(records.length, answers.length)
  const order = records.map((_, index) => index)
  // The first steps of a Fisher-Yates shuffle.
  for (let i = 0; i < rows; i++) {
    const j = i + Math.floor(random() * (order.length - i))
    const other = order[j] as number
    order[j] = order[i] as number
    order[i] = other
  }
  const chosen = order.slice(0, rows)
  return {
    input: encodeRows(chosen.map((index) => records[index] as Uint8Array)),
    answers: chosen.map((index) => answers[index] as Uint8Array),
  }
}

function drawRange({ spec, input, answers }: CanaryPool, rows: number, random: () => number) {
  const tensors = decodeTensors(input, { maxBytes: MAX_POOL_BYTES })
  const all = Object.values(tensors)
  const isBatch = spec.work.kind === 'onnx' && spec.work.batch === 'first-axis'
  if (!isBatch || all.some(({ shape }) => shape[0] !== answers.length)) return { input, answers }
  const from = Math.floor(random() * (answers.length - rows + 1))
  const range = { from, to: from + rows }
  const part = Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, rangeOfFirstAxis(tensor, range)]),
  )
  return { input: encodeTensors(part), answers: answers.slice(from, from + rows) }
}

export function misfit(rows: number, answers: number): AssayError {
  return new AssayError('canary/answers', `expected an answer for each of ${rows} rows, got ${answers}`)
}
