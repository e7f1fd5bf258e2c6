import { stripVTControlCharacters } from 'node:util'
import { AssayError } from 'assay/core/errors'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLog, type LogFields, type LogOptions, SILENT_LOG } from './log.ts'
import { Secret } from './secret.ts'

const NOW = new Date('2026-01-02T03:04:05.678Z')

function capture(options: LogOptions = {}) {
  const lines: string[] = []
  const log = createLog({
    pretty: false,
    level: 'debug',
    now: () => NOW,
    write: (line) => lines.push(line),
    ...options,
  })
  return { log, lines, objects: () => lines.map((line) => JSON.parse(line) as { [name: string]: unknown }) }
}

function fieldsOf(fields: LogFields): { [name: string]: unknown } {
  const { log, objects } = capture()
  log.info('m', fields)
  const { time: _time, level: _level, message: _message, ...rest } = objects()[0]!
  return rest
}

describe('lines', () => {
  it('are JSON objects with time, level, message and the fields of the log and of the call', () => {
    const { log, objects } = capture({ fields: { service: 'coordinator' } })
    log.child({ jobId: 'j1' }).warn('lease expired', { nodeId: new Uint8Array(4).fill(7), count: 3n })
    expect(objects()).toEqual([
      {
        time: NOW.toISOString(),
        level: 'warn',
        message: 'lease expired',
        service: 'coordinator',
        jobId: 'j1',
        nodeId: '07070707',
        count: '3n',
      },
    ])
  })

  it('are written from their level on', () => {
    const { log, lines } = capture({ level: 'warn' })
    log.debug('a')
    log.info('b')
    log.warn('c')
    log.error('d')
    expect(lines).toHaveLength(2)
    expect([log.has('info'), log.has('warn')]).toEqual([false, true])
    SILENT_LOG.error('nowhere')
  })

  it('do not let a field pass for the level, the time or the message', () => {
    const { log, objects } = capture()
    log.info('true', { level: 'error', time: 'never', message: 'false' })
    expect(objects()[0]).toMatchObject({ level: 'info', message: 'true', level_: 'error', message_: 'false' })
  })

  it('are one line of valid JSON without control characters, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.anything({ withBigInt: true }), (text, value) => {
        for (const pretty of [false, true]) {
          const { log, lines } = capture({ pretty })
          log.info(text, { [text]: value, value })
          expect(lines).toHaveLength(1)
          const line = stripVTControlCharacters(lines[0]!)
          // biome-ignore lint/suspicious/noControlCharactersInRegex: the point of the test
          expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/)
          if (!pretty) JSON.parse(line)
        }
      }),
    )
  })

  it('stay small', () => {
    let deep: unknown = 'x'
    for (let i = 0; i < 10_000; i++) deep = [deep]
    const { log, lines } = capture()
    log.info('y'.repeat(1e6), { deep, wide: Array.from({ length: 1e5 }, (_, i) => i), text: 'z'.repeat(1e6) })
    expect(lines[0]!.length).toBeLessThan(20_000)
  })

  it('tell errors: code and detail of ours, the stack of others, and what caused them', () => {
    const cause = new TypeError('inner')
    const error = new AssayError('store/timeout', 'outer', { detail: { ms: 5 }, cause })
    expect(fieldsOf({ error })).toMatchObject({
      error: {
        code: 'store/timeout',
        message: 'outer',
        detail: { ms: 5 },
        cause: { message: 'inner', stack: expect.stringContaining('TypeError') },
      },
    })
  })
})

describe('secrets', () => {
  it('go by the name of their field, at any depth', () => {
    const names = ['password', 'Authorization', 'set-cookie', 'api_key', 'apiKey', 'x-api-key', 'token']
    for (const name of [...names, 'accessToken', 'DATABASE_URL', 'privateKey', 'clientSecret']) {
      expect(fieldsOf({ [name]: 'hush', deep: { [name]: ['hush'] } })).toEqual({
        [name]: '[redacted]',
        deep: { [name]: '[redacted]' },
      })
    }
    expect(fieldsOf({ fencingToken: 7, publicKey: 'k', tokens: 3 })).toEqual({
      fencingToken: 7,
      publicKey: 'k',
      tokens: 3,
    })
  })

  it('go by their form', () => {
    expect(fieldsOf({ a: 'at postgres://me:hunter2@host/db failed', b: 'Bearer abc.def' })).toEqual({
      a: 'at postgres://[redacted]@host/db failed',
      b: 'Bearer [redacted]',
    })
  })

  it('go wherever they appear once they are known, children and causes included', () => {
    const { log, lines } = capture()
    const child = log.child({ place: 'key-0123456789' })
    log.hide('key-0123456789')
    child.info('with key-0123456789', { error: new Error('a', { cause: new Error('key-0123456789') }) })
    child.info('x'.repeat(4090).concat('key-0123456789'))
    expect(lines.join('')).not.toMatch(/key-/)
  })

  it('that are wrapped stay wrapped', () => {
    expect(fieldsOf({ option: new Secret('open sesame') })).toEqual({ option: '[secret]' })
  })
})
