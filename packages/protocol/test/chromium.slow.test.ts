/**
 * The library in a real browser: the scenario is bundled, served to Chromium over loopback, and must come to the
 * same proof and verdicts as here. Skipped where there is no Chromium ($CHROMIUM, or on the PATH).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterEach, expect, test } from 'vitest'
import { scenario } from './browser-scenario.ts'

const NAMES = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'].filter(
  (name) => name !== undefined,
)
const CHROMIUM = NAMES.find((name) => spawnSync(name, ['--version']).status === 0)
const TIMEOUT_MS = 120_000
const PAGE = `<!doctype html><meta charset="utf-8"><script src="/scenario.js"></script><script>
const post = (result) => fetch('/result', { method: 'POST', body: JSON.stringify(result) })
bundled.scenario().then(post, (error) => post({ error: String(error && error.stack || error) }))
</script>`

let server: Server | undefined
let browser: ChildProcess | undefined
let profile: string | undefined

afterEach(async () => {
  if (browser !== undefined && browser.exitCode === null) {
    const ended = new Promise((resolve) => browser?.once('exit', resolve))
    browser.kill('SIGKILL')
    await ended
  }
  server?.closeAllConnections()
  server?.close()
  // Its own processes end a moment after it, and write until then.
  if (profile !== undefined) await rm(profile, { recursive: true, force: true, maxRetries: 10 })
})

/** Serves the page; `result` is what the page posts back. */
async function serve(script: string): Promise<{ readonly url: string; readonly result: Promise<unknown> }> {
  let settle: (value: unknown) => void = () => {}
  const result = new Promise<unknown>((resolve) => {
    settle = resolve
  })
  server = createServer((request, response) => {
    if (request.url === '/result') {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        response.end()
        settle(JSON.parse(body))
      })
      return
    }
    const isScript = request.url === '/scenario.js'
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : PAGE)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, result }
}

test.skipIf(CHROMIUM === undefined)(
  'a page solves, verifies and refuses as Node does',
  async () => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL('./browser-scenario.ts', import.meta.url))],
      bundle: true,
      platform: 'browser',
      format: 'iife',
      globalName: 'bundled',
      write: false,
    })
    const { url, result } = await serve(outputFiles[0]?.text ?? '')
    profile = mkdtempSync(join(tmpdir(), 'assay-chromium-'))
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${profile}`]
    browser = spawn(CHROMIUM as string, [...flags, url], { stdio: 'ignore' })
    const expected = await scenario()
    expect(expected).toMatchObject({ honest: true, altered: false, rsa: true })
    expect(await result).toEqual(JSON.parse(JSON.stringify(expected)))
  },
  TIMEOUT_MS,
)
