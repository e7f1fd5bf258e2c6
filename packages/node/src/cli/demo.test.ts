import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assay, failureOf, jsonOf, type Outcome, workFolder } from '../../test/run-assay.ts'

const cwd = workFolder()
let outcome: Outcome
beforeAll(async () => {
  outcome = await assay(['demo', '--json'], { cwd })
}, 120_000)
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

describe('assay demo', () => {
  test('gives the three solvers the verdicts that they deserve', () => {
    expect(outcome.code).toBe(0)
    const { honest, lazy, adversarial, ...rest } = jsonOf(outcome)
    expect(rest).toMatchObject({ states: 1797, inputs: 1797, confidence: 0.99, faked: 0.05 })
    expect(rest.accuracy).toBeCloseTo(0.994, 3)
    expect(rest.accuracyAll).toBeCloseTo(1794 / 1797, 6)
    expect(honest).toMatchObject({ isVerified: true, evidence: null })
    expect(lazy).toMatchObject({ isVerified: false, evidence: { code: 'sampling/state-mismatch' } })
    expect(adversarial).toMatchObject({ isVerified: false, evidence: { code: 'sampling/output-row' } })
    expect(lazy.evidence.stateIndex).toBeTypeOf('number')
    for (const solver of [honest, lazy, adversarial]) {
      for (const field of ['countItems', 'proofBytes', 'plainMs', 'solveMs', 'verifyMs', 'verifierShare']) {
        expect(solver[field], field).toBeGreaterThan(0)
      }
      expect(solver.verifierShare).toBe(solver.countItems / 1797)
      expect(solver.confidence).toBeGreaterThanOrEqual(0.99)
    }
    for (const cheat of [lazy, adversarial]) expect(cheat.accuracyAll).toBeLessThan(0.96)
  })

  test('leaves a receipt that holds', async () => {
    const { receipt, verifier } = jsonOf(outcome)
    expect(existsSync(join(cwd, receipt))).toBe(true)
    const checked = await assay(['receipt', 'verify', receipt, '--signer', verifier, '--json'], { cwd })
    expect(checked.code).toBe(0)
    expect(jsonOf(checked)).toMatchObject({ isVerified: true, samples: jsonOf(outcome).honest.countItems })
  })

  test('says where it looked for its data when they are not there', async () => {
    const missing = await assay(['demo', '--data', 'nowhere', '--json'], { cwd })
    expect(failureOf(missing)).toMatchObject({ code: 'cli/file-missing' })
    expect(failureOf(missing).message).toContain('nowhere')
  })
})
