import { ed25519KeyPair } from 'assay/core/keys'
import { lazyTask } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { encodePlan, type Plan } from 'assay/state/plan'
import { parsePlan } from 'assay/state/plan-parse'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { verify } from '../two-parties.mjs'
import { answers } from './answers.mjs'
import { planTask, requests } from './task.mjs'

const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }
const seed = fill(4)
const STYLES = ['plain', 'chatty', 'tools'] as const
const request = { solverInput: requests, falsePositiveRate: 0.01 }
const all = { samples: requests.length }

describe('plans', () => {
  it.each(Object.entries(answers))('%s: one plan in every style', (_, texts) => {
    const [plain, chatty, tools] = STYLES.map((style) => encodePlan(parsePlan(texts[style])))
    expect(chatty).toEqual(plain)
    expect(tools).toEqual(plain)
  })

  it('are all different', () => {
    const plans = Object.values(answers).map(({ plain }) => encodePlan(parsePlan(plain)).join())
    expect(new Set(plans).size).toBe(requests.length)
  })
})

describe('solvers', () => {
  const pairs = STYLES.flatMap((theirs) => STYLES.map((ours) => [theirs, ours] as const))

  it.each(pairs)('honest, %s against %s: accepted', async (theirs, ours) => {
    const solution = await solve(planTask(theirs), request, { job, key })
    const { response } = await verify(planTask(ours), request, { job, solution, ask: all, seed })
    expect(response).toEqual({ isVerified: true, countItems: 6, evidence: null })
  })

  const cheats: readonly (readonly [string, (text: string) => string])[] = [
    ['another recipient', (text) => text.replaceAll('0x71C7', '0x71C8')],
    ['another amount', (text) => text.replace('amount=250', 'amount=251')],
    ['a step less', (text) => text.replace(/2\. verify_recipient\(address="\w+"\) 3/, '2')],
    ['two steps in another order', (text) => text.replace(/2\. (.*) 3\. (.*)$/, '2. $2 3. $1')],
    ['a step more', (text) => `${text} 4. transfer(to="0x00", asset="USDC", amount=1)`],
  ]

  it.each(cheats)('with %s: rejected', async (_, change) => {
    const [first = ''] = requests
    const text = answers[first as keyof typeof answers].plain
    expect(change(text)).not.toBe(text)
    const plan: Plan = parsePlan(change(text))
    const cheat = lazyTask(planTask('plain'), new Set([0]), () => plan)
    const solution = await solve(cheat, request, { job, key })
    const { response } = await verify(planTask('chatty'), request, { job, solution, ask: all, seed })
    expect(response.evidence).toMatchObject({ code: 'sampling/state-mismatch', stateIndex: 0 })
  })
})

it('runs', async () => {
  const output = await runExample('plan')
  expect(output).toContain('the plan:          quote → swap')
  expect(output).toContain('honest solver: accepted after recomputing 4 of 6 states')
  expect(output).toContain('redirects three payments: rejected (sampling/state-mismatch)')
  expect(output).toContain('leaves out the check of the recipient: rejected (sampling/state-mismatch)')
  expect(output).toContain('adversarial solver: rejected (sampling/output-row)')
})
