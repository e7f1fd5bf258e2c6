import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { assay, failureOf, jsonOf, workFolder } from '../../test/run-assay.ts'

const cwd = workFolder()
afterAll(() => rmSync(cwd, { recursive: true, force: true }))
const run = (...args: string[]) => assay(args, { cwd })

test.each(['ed25519', 'rsa-pss-3072'])(
  'makes and shows a key of type %s, and keeps its secret',
  async (type) => {
    const file = `${type}.json`
    const made = await run('key', 'new', '--type', type, '--out', file, '--json')
    expect(made.code).toBe(0)
    expect(jsonOf(made)).toMatchObject({ type, file })
    expect(jsonOf(made).nodeId).toMatch(/^[0-9a-f]{64}$/)
    expect(statSync(join(cwd, file)).mode & 0o777).toBe(0o600)
    const shown = await run('key', 'show', '--key', file, '--json')
    expect(jsonOf(shown)).toEqual(jsonOf(made))
    const { secretKey } = JSON.parse(readFileSync(join(cwd, file), 'utf8'))
    expect(made.stdout + shown.stdout + (await run('key', 'show', '--key', file)).stdout).not.toContain(
      secretKey,
    )
  },
)

test('never overwrites a key', async () => {
  await run('key', 'new', '--out', 'once.json')
  const before = readFileSync(join(cwd, 'once.json'), 'utf8')
  expect(failureOf(await run('key', 'new', '--out', 'once.json', '--json')).code).toBe('cli/file-exists')
  expect(readFileSync(join(cwd, 'once.json'), 'utf8')).toBe(before)
})

test('without a file it is the key of this machine, under XDG_CONFIG_HOME', async () => {
  expect(failureOf(await run('key', 'show', '--json')).code).toBe('cli/file-missing')
  const made = jsonOf(await run('key', 'new', '--json'))
  expect(made.file).toBe(join(cwd, 'config/assay/key.json'))
  expect(statSync(join(cwd, 'config/assay')).mode & 0o777).toBe(0o700)
  expect(jsonOf(await run('key', 'show', '--json'))).toEqual(made)
})

test('a file that is no key is refused, without a word of what it holds', async () => {
  writeFileSync(join(cwd, 'no.json'), '{"secretKey":"c2VjcmV0"}')
  const outcome = await run('key', 'show', '--key', 'no.json', '--json')
  expect(failureOf(outcome).code).toBe('key/malformed')
  expect(outcome.stdout).not.toContain('c2VjcmV0')
  writeFileSync(join(cwd, 'text.json'), 'hello')
  expect(failureOf(await run('key', 'show', '--key', 'text.json', '--json')).code).toBe('cli/file-malformed')
  expect(failureOf(await run('key', 'show', '--key', '.', '--json')).code).toBe('cli/file-missing')
})
