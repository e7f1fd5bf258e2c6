import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { CalibrationReport } from 'assay/method/trace/calibration/calibrate'
import { verifyProfile } from 'assay/receipt/calibration'
import { afterAll, describe, expect, test } from 'vitest'
import { assay, DIGITS, failureOf, jsonOf, workFolder } from '../../test/run-assay.ts'
import { reportPage } from './calibrate-page.ts'

const cwd = workFolder()
afterAll(() => rmSync(cwd, { recursive: true, force: true }))
const run = (...args: string[]) => assay(args, { cwd })
const digits = ['--model', join(DIGITS, 'model.onnx'), '--input', join(DIGITS, 'images.npy')]
const few = ['--alpha', '0.2', '--rows', '9']

describe('assay calibrate', () => {
  test('writes a signed profile and reports, with a run from a file', { timeout: 60_000 }, async () => {
    expect((await run('calibrate', ...digits, ...few, '--record', 'other.run', '--json')).code).toBe(0)
    const reports = ['--report', 'r.html', '--report', 'r.json', '--report', 'r.txt']
    const outcome = await run(
      ...['calibrate', ...digits, ...few, '--runs', 'other.run', '--out', 'p.json', ...reports],
      ...['--date', '2026-01-31', '--json'],
    )
    expect(outcome.stderr).toBe('')
    const json = jsonOf(outcome) as { profile: object; cheats: { name: string }[]; written: string[] }
    expect(json.written).toEqual(['p.json', 'r.html', 'r.json', 'r.txt'])
    expect(json.cheats).toHaveLength(7)
    const read = (name: string) => readFileSync(join(cwd, name), 'utf8')
    const verdict = await verifyProfile(JSON.parse(read('p.json')))
    expect(verdict).toMatchObject({ ok: true, value: { profile: json.profile } })
    expect(json.profile).toMatchObject({ samples: 6, alpha: 0.2, date: '2026-01-31' })
    expect(JSON.parse(read('r.json'))).toMatchObject({ profile: json.profile, heldOut: 3 })
    expect(read('r.txt')).toContain('draws for 99 %')
    const page = read('r.html')
    expect(page.match(/<svg /g)).toHaveLength(4)
    // One file: nothing is loaded from elsewhere, and nothing runs.
    const { layers, ...rest } = JSON.parse(read('r.json')) as CalibrationReport
    const named = { ...(layers[0] as CalibrationReport['layers'][number]), name: '<script>"&' }
    expect(reportPage({ ...rest, layers: [named] })).not.toMatch(/<script|">"&/)
    expect(page).not.toMatch(/<script|<link|<img|src=|href=|url\(|@import|https?:/)
  })

  test('refuses too few rows before it runs anything', async () => {
    const { code, message } = failureOf(await run('calibrate', ...digits, '--rows', '99', '--json'))
    expect(code).toBe('calibration/too-few')
    expect(message).toContain('raise --rows')
  })

  test.each([
    ['a report of another kind', ['--report', 'r.pdf'], 'cli/usage'],
    ['a run that is none', ['--runs', join(DIGITS, 'labels.npy')], 'codec/not-canonical'],
    ['another date', ['--date', 'tomorrow'], 'cli/usage'],
  ])('refuses %s', async (_, options, expected) => {
    expect(failureOf(await run('calibrate', ...digits, ...few, ...options, '--json')).code).toBe(expected)
  })
})
