import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { AssayError } from 'assay/core/errors'
import { afterAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { type ConfigSources, envName, loadConfigFile, readConfig } from './config.ts'
import { suggest } from './suggest.ts'

const folder = mkdtempSync(join(tmpdir(), 'assay-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SPECS = {
  port: { schema: z.int().check(z.minimum(0), z.maximum(65_535)), default: 8080, help: 'port' },
  hosts: { schema: z.array(z.string()), default: [], help: 'hosts' },
  region: { schema: z.optional(z.string()), help: 'region' },
  verbose: { schema: z.boolean(), default: false, help: 'more lines' },
  databaseUrl: {
    schema: z.optional(z.string().check(z.regex(/^postgres:/))),
    secret: true,
    env: 'DATABASE_URL',
    help: 'database',
  },
} as const

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}

function refusal(call: () => unknown): AssayError {
  try {
    call()
  } catch (error) {
    if (error instanceof AssayError) return error
    throw error
  }
  throw new Error('expected a refusal')
}

const refused = (sources: ConfigSources) => refusal(() => readConfig(SPECS, sources))

describe('precedence', () => {
  it('is flags, environment, file, defaults', () => {
    const values = { path: 'c.json', values: { port: 3, region: 'file' } }
    const env = { ASSAY_PORT: '2', ASSAY_REGION: '' }
    expect(readConfig(SPECS, { flags: { port: 1 }, env, file: values }).values.port).toBe(1)
    expect(readConfig(SPECS, { flags: { port: undefined }, env, file: values }).values.port).toBe(2)
    expect(readConfig(SPECS, { file: values }).values.port).toBe(3)
    expect(readConfig(SPECS).values.port).toBe(8080)
    expect(readConfig(SPECS, { env, file: values }).values.region).toBe('file')
  })

  it('is told by describe', () => {
    const config = readConfig(SPECS, { env: { ASSAY_PORT: '2', DATABASE_URL: 'postgres://u:pw-secret@h/d' } })
    expect(config.describe()).toMatchObject({
      port: { value: 2, from: 'ASSAY_PORT' },
      verbose: { value: false, from: 'default' },
      region: { value: null, from: 'not set' },
      databaseUrl: { value: '[secret]', from: 'DATABASE_URL' },
    })
  })
})

describe('texts', () => {
  it('become what the schema takes', () => {
    const env = { ASSAY_PORT: '0', ASSAY_HOSTS: 'a, b', ASSAY_VERBOSE: 'true', ASSAY_REGION: '17' }
    expect(readConfig(SPECS, { env }).values).toMatchObject({
      port: 0,
      hosts: ['a', 'b'],
      verbose: true,
      region: '17',
    })
    expect(readConfig(SPECS, { env: { ASSAY_HOSTS: 'one' } }).values.hosts).toEqual(['one'])
    expect(readConfig(SPECS, { env: { ASSAY_HOSTS: '["x,y"]' } }).values.hosts).toEqual(['x,y'])
  })

  it('that it does not take are refused, with where they came from', () => {
    expect(refused({ env: { ASSAY_PORT: '65536' } })).toMatchObject({
      code: 'config/invalid',
      message: expect.stringMatching(/port, from ASSAY_PORT: expected at most 65535, got "65536"/),
    })
    expect(refused({ flags: { port: 'many' } }).message).toMatch(/expected a finite number, got "many"/)
    expect(refused({ file: { path: 'c.json', values: { port: '1' } } }).message).toMatch(/from c.json/)
  })
})

describe('unknown names', () => {
  it('are refused with what was probably meant', () => {
    expect(refused({ env: { ASSAY_PROT: '1' } })).toMatchObject({
      code: 'config/unknown',
      detail: { meant: 'ASSAY_PORT' },
    })
    expect(refused({ flags: { databseUrl: 'x' } }).message).toMatch(/did you mean databaseUrl\?/)
    const values = { nothingLikeIt: 1 }
    expect(refused({ file: { path: 'c.json', values } }).message).toMatch(/known are port, hosts/)
    expect(refused({ file: { path: 'c.json', values: JSON.parse('{"__proto__": 1}') } }).code).toBe(
      'config/unknown',
    )
    expect(refused({ flags: { constructor: 1 } }).code).toBe('config/unknown')
  })

  it('of other parts of the program are left alone', () => {
    const env = { ASSAY_TEST_X: '1', ASSAY_FIXTURES: 'f', PATH: 'p' }
    expect(readConfig(SPECS, { env, otherEnv: ['ASSAY_TEST_*', 'ASSAY_FIXTURES'] }).values.port).toBe(8080)
    expect(refused({ env }).code).toBe('config/unknown')
  })

  it('are compared in bounded time', () => {
    expect(suggest('x'.repeat(1e6), ['port'])).toBeUndefined()
    expect(suggest('prot', ['port', 'host'])).toBe('port')
    expect(suggest('wholly-else', ['port', 'host'])).toBeUndefined()
  })
})

describe('required options', () => {
  const required = { token: { schema: z.string(), help: 'what the node signs in with' } } as const
  it('are asked for by all of their names', () => {
    const error = refusal(() => readConfig(required))
    expect(error.code).toBe('config/invalid')
    expect(error.message).toMatch(/token must be given \(what the node signs in with\).*ASSAY_TOKEN/)
  })
})

describe('secrets', () => {
  it('are shown by nothing', () => {
    const config = readConfig(SPECS, { env: { ASSAY_DATABASE_URL: 'postgres://u:p%40ss-word@h/d' } })
    expect(config.values.databaseUrl?.reveal()).toBe('postgres://u:p%40ss-word@h/d')
    const shown = `${JSON.stringify(config)}${inspect(config.values, { depth: 9 })}${config.values.databaseUrl}`
    expect(shown.replace(JSON.stringify(config.secrets), '')).not.toMatch(/ss-word/)
    expect(config.secrets).toContain('p@ss-word')
    expect(refused({ env: { DATABASE_URL: 'mysql://u:p%40ss-word@h/d' } }).message).not.toMatch(/ss-word/)
  })

  it('may come from a file', () => {
    const path = file('secret', 'postgres://file\n')
    const config = readConfig(SPECS, { env: { ASSAY_DATABASE_URL_FILE: path } })
    expect(config.values.databaseUrl?.reveal()).toBe('postgres://file')
    expect(refused({ env: { DATABASE_URL_FILE: join(folder, 'none') } }).code).toBe('config/file')
    expect(refused({ env: { ASSAY_PORT_FILE: path } }).code).toBe('config/unknown')
  })
})

describe('files', () => {
  it('are one JSON object', () => {
    expect(loadConfigFile(file('good.json', '{"port": 1}')).values).toEqual({ port: 1 })
    for (const text of ['[]', 'null', '{', '1', ' '.repeat(2 << 20)]) {
      expect(refusal(() => loadConfigFile(file('bad.json', text))).code).toBe('config/file')
    }
    expect(refusal(() => loadConfigFile(join(folder, 'none.json'))).code).toBe('config/file')
  })
})

describe('names', () => {
  it('follow one rule', () => {
    expect(envName('maxConnections')).toBe('ASSAY_MAX_CONNECTIONS')
    expect(envName('port')).toBe('ASSAY_PORT')
  })
})
