/** A verifier as its operator runs it: enrolled with the scope of verifiers alone, watched over its own port. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKey } from 'assay/core/keys'
import type { Scope } from 'assay/wire/account'
import { waitForJob } from 'assay/wire/submit'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readConfig } from '../../dist/service/config.js'
import { VERIFIER_OPTIONS } from '../../dist/verifier/config.js'
import { startVerifier } from '../../dist/verifier/service.js'
import { openMachine } from '../../dist/work/machine.js'
import { SILENT_LOG } from '../../src/service/log.ts'
import { openNetwork, type TestNetwork } from './support/in-process.ts'
import { squares } from './support/work.ts'

const START_MS = 60_000
const SAMPLED = { share: 1, confidence: 0.99, fakedShare: 0.25 }
const folder = mkdtempSync(join(tmpdir(), 'assay-verifier-'))

let world: TestNetwork
beforeAll(async () => {
  world = await openNetwork([
    { name: 'ada', operator: 'alpha', slots: 2 },
    { name: 'ben', operator: 'beta', slots: 2 },
  ])
}, START_MS)
afterAll(async () => {
  await world?.close()
  rmSync(folder, { recursive: true, force: true })
}, START_MS)

it('takes a key of its scope, and shows what it does', { timeout: START_MS }, async () => {
  const key = await generateKey()
  const machine = await openMachine({
    cacheFolder: folder,
    cacheBytes: 2 ** 30,
    processes: 1,
    log: SILENT_LOG,
  })
  const start = async (scopes: readonly Scope[]) => {
    const { token: enrolment } = await world.account('examiner', scopes, 0)
    const flags = {
      coordinator: world.url,
      enrolment,
      operator: 'examiner',
      cacheFolder: folder,
      statusPort: 0,
    }
    const { values } = readConfig(VERIFIER_OPTIONS, { flags })
    return startVerifier(values, { key, log: SILENT_LOG, machine })
  }
  await expect(start(['nodes:enrol', 'jobs:write', 'network:read'])).rejects.toMatchObject({
    code: 'wire/forbidden',
  })
  const verifier = await start(['verifiers:enrol'])
  const show = async (path: string) => {
    const response = await fetch(`${verifier.statusUrl}${path}`)
    return { status: response.status, text: await response.text() }
  }
  expect((await show('/healthz')).status).toBe(200)
  expect((await show('/readyz')).status).toBe(200)
  // Two verifiers share the work: this one has some of it, sooner or later.
  const checks = async () =>
    Number(
      /assay_verifier_checks_total\{verdict="verified",kind="wasm"\} (\d+)/.exec(
        (await show('/metrics')).text,
      )?.[1] ?? 0,
    )
  while ((await checks()) === 0) {
    const { id } = await world.submit(squares(80, { validation: { sampling: SAMPLED } }))
    expect((await waitForJob(world.submitter, id)).state).toBe('accepted')
  }
  const { text } = await show('/metrics')
  expect(text).toMatch(/assay_verifier_samples_total\{kind="wasm"\} [1-9]/)
  expect(text).toMatch(/assay_verifier_check_seconds_count\{kind="wasm"\} [1-9]/)
  await verifier.stop()
  await machine.close()
  await expect(fetch(`${verifier.statusUrl}/healthz`)).rejects.toThrow()
  // That it leaves is written behind the answer to it.
  const shown = () => world.network.admin.client.showNode({ params: { id: verifier.nodeId } })
  await expect.poll(async () => (await shown()).state).toBe('offline')
  expect(await shown()).toMatchObject({ manifest: { role: 'verifier', operator: 'examiner' } })
})
