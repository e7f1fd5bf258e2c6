/**
 * Agentic plans as states: a model turns each request into calls. Its prose differs from run to run, the calls must
 * not, so the state is the plan in normal form.
 */
import { parsePlan } from 'assay/state/plan-parse'
import { planState } from 'assay/state/plan-state'
import { valueCodec } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import * as z from 'zod/mini'
import { answers } from './answers.mjs'

export const requests = Object.keys(answers)

/** The task with a model that answers in its own way: `plain`, `chatty` or `tools`. The id is always the same. */
export function planTask(style) {
  return defineTask({
    name: 'payment-plans',
    version: '1',
    shape: 'parallel',
    parameters: { model: 'example-model 1' },
    input: valueCodec({ name: 'requests', schema: z.array(z.string()).check(z.maxLength(1000)) }),
    // The request nearly dictates the plan: one time in ten, say, it can be written without the model.
    state: planState({ maxCalls: 16, guessProbability: 0.1 }),
    count: (requests) => requests.length,
    compute: (requests, i) => parsePlan(answer(requests[i], style)),
  })
}

/** Stands for the call of the model. */
function answer(request, style) {
  const texts = answers[request]
  if (texts === undefined) throw new Error(`the example model knows no answer to ${JSON.stringify(request)}`)
  return texts[style]
}
