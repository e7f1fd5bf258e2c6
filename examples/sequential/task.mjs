/**
 * Training as a chain: each state holds the weights after one step of gradient descent, and follows from the state
 * before it. The output is the last one.
 *
 * Only additions and multiplications, in a fixed order, which IEEE 754 rounds alike everywhere: states are exact.
 */
import { tensor } from 'assay/state/tensor'
import { tensorState } from 'assay/state/tensor-state'
import { valueCodec } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import * as z from 'zod/mini'

const MAX_STEPS = 1_000_000
const row = z.tuple([z.number(), z.number(), z.number()])

export const training = defineTask({
  name: 'linear-regression',
  version: '1',
  shape: 'sequential',
  input: valueCodec({
    name: 'linear-regression/input',
    schema: z.strictObject({
      rows: z.array(row).check(z.minLength(1)),
      steps: z.int().check(z.minimum(1), z.maximum(MAX_STEPS)),
      rate: z.number(),
    }),
  }),
  state: tensorState({ dtype: 'float64', shape: [3] }),
  count: ({ steps }) => steps,
  step: (previous, { rows, rate }) => weights(descend(previous?.data ?? [0, 0, 0], rows, rate)),
})

/** Two slopes and an offset, as a state. */
export function weights(values) {
  return tensor('float64', [3], Float64Array.from(values))
}

/** One step down the gradient of the mean squared error of `a·x + b·y + c` against the third column. */
function descend([a, b, c], rows, rate) {
  let [da, db, dc] = [0, 0, 0]
  for (const [x, y, target] of rows) {
    const error = a * x + b * y + c - target
    da += error * x
    db += error * y
    dc += error
  }
  const scale = (2 * rate) / rows.length
  return [a - scale * da, b - scale * db, c - scale * dc]
}

/** Points around a plane, always the same. */
export function sampleRows(count) {
  const wave = (i, period) => ((i * period) % 97) / 48.5 - 1
  return Array.from({ length: count }, (_, i) => {
    const [x, y, noise] = [wave(i, 13), wave(i, 29), wave(i, 41) / 20]
    return [x, y, 3 * x - 2 * y + 1 + noise]
  })
}
