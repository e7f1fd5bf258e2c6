/** For tests: plans in normal form. */
import fc from 'fast-check'
import { normaliseCall, type Plan, type PlanCall, type PlanValue } from '../plan.ts'

const name = fc.stringMatching(/^[a-z_][a-z0-9_]{0,6}$/)
const text = fc.string({ unit: 'binary', maxLength: 8 })
const scalar: fc.Arbitrary<PlanValue> = fc.oneof(
  text,
  fc.maxSafeInteger(),
  fc.boolean(),
  fc.constant(null),
  fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((x) => x + 0),
  fc.constantFrom({ $number: '10000000000000000001e0' }, { $number: '1e18' }),
)

const tied = fc.letrec<{ value: PlanValue; call: PlanCall }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    { arbitrary: scalar, weight: 4 },
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(name, tie('value'), { maxKeys: 3 }),
    tie('call').map(($call) => ({ $call })),
  ),
  call: fc
    .record({
      name,
      positional: fc.array(tie('value'), { maxLength: 2 }),
      named: fc.dictionary(name, tie('value'), { maxKeys: 2 }),
      result: fc.option(name, { nil: undefined }),
    })
    .map(({ name, positional, named, result }) =>
      normaliseCall({
        name,
        args: [
          ...positional.map((value) => ({ value })),
          ...Object.entries(named).map(([name, value]) => ({ name, value })),
        ],
        ...(result === undefined ? {} : { result }),
      }),
    ),
}))

export const anyPlan: fc.Arbitrary<Plan> = fc.array(tied.call, { maxLength: 4 }).map((calls) => ({ calls }))
