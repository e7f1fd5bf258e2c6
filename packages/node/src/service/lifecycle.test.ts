import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { type Life, type LifeOptions, runLife } from './lifecycle.ts'
import { SILENT_LOG } from './log.ts'

function harness(options: Partial<LifeOptions> = {}) {
  const signals = new EventEmitter()
  const events: string[] = []
  const part = (name: string, stop?: (now: AbortSignal) => Promise<void>) => ({
    name,
    open: () => {
      events.push(`start ${name}`)
      return {
        value: name,
        stop: async (now: AbortSignal) => {
          await stop?.(now)
          events.push(`stop ${name}`)
        },
      }
    },
  })
  const run = (body: (life: Life) => Promise<void>) =>
    runLife(body, { log: SILENT_LOG, signals, nowTimeoutMs: 10, ...options })
  return { signals, events, part, run, signal: (name: string) => signals.emit(name, name) }
}

const untilNow = (now: AbortSignal) =>
  new Promise<void>((resolve) => now.addEventListener('abort', () => resolve(), { once: true }))

describe('a life', () => {
  it('starts in order and stops in the opposite one at the first signal', async () => {
    const { events, part, run, signal, signals } = harness()
    const code = await run(async (life) => {
      for (const { name, open } of [part('database'), part('service'), part('http')]) {
        expect(await life.start(name, open)).toBe(name)
      }
      setImmediate(() => signal('SIGTERM'))
    })
    expect(code).toBe(0)
    expect(events).toEqual([
      'start database',
      'start service',
      'start http',
      'stop http',
      'stop service',
      'stop database',
    ])
    expect(signals.eventNames()).toEqual([])
  })

  it('stops now at the second', async () => {
    const { events, part, run, signal } = harness()
    const slow = part('slow', untilNow)
    const code = await run(async (life) => {
      await life.start('first', part('first').open)
      await life.start('slow', slow.open)
      life.stopping.addEventListener('abort', () => setImmediate(() => signal('SIGINT')))
      signal('SIGINT')
    })
    expect(code).toBe(0)
    expect(events.slice(2)).toEqual(['stop slow', 'stop first'])
  })

  it('stops now when draining takes too long, and leaves behind what does not stop even then', async () => {
    const { events, part, run } = harness({ drainTimeoutMs: 5 })
    const code = await run(async (life) => {
      await life.start('first', part('first').open)
      await life.start('stuck', part('stuck', () => new Promise(() => undefined)).open)
      life.stop('enough')
    })
    expect(code).toBe(1)
    expect(events).toEqual(['start first', 'start stuck', 'stop first'])
  })

  it('stops what it started when the start fails, and says why it failed', async () => {
    const { events, part, run } = harness()
    const failing = run(async (life) => {
      await life.start('first', part('first').open)
      await life.start('second', () => Promise.reject(new Error('no port')))
    })
    await expect(failing).rejects.toThrow('no port')
    expect(events).toEqual(['start first', 'stop first'])
  })

  it('cuts the start off at a signal', async () => {
    const { events, part, run, signal } = harness()
    const code = await run(async (life) => {
      await life.start('first', part('first').open)
      await life.start('waits', async (stopping) => {
        setImmediate(() => signal('SIGTERM'))
        await new Promise((_, reject) => {
          stopping.addEventListener('abort', () => reject(stopping.reason))
        })
        throw new Error('not reached')
      })
    })
    expect(code).toBe(0)
    expect(events).toEqual(['start first', 'stop first'])
    const late = harness()
    await late.run(async (life) => {
      late.signal('SIGTERM')
      await life.start('never', late.part('never').open)
    })
    expect(late.events).toEqual([])
  })

  it('ends with 1 when a part dies or fails to stop', async () => {
    const { events, part, run } = harness()
    const code = await run(async (life) => {
      await life.start('first', part('first').open)
      await life.start('dying', () => ({
        value: null,
        stop: () => undefined,
        failed: Promise.reject(new Error('postgres ended')),
      }))
    })
    expect(code).toBe(1)
    expect(events).toEqual(['start first', 'stop first'])
    const bad = harness()
    const ends = await bad.run(async (life) => {
      await life.start('first', bad.part('first').open)
      await life.start('bad', bad.part('bad', () => Promise.reject(new Error('cannot'))).open)
      life.stop('enough')
    })
    expect([ends, bad.events.at(-1)]).toEqual([1, 'stop first'])
  })
})
