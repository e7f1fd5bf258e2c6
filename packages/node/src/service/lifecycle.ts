/**
 * The life of a process that serves: parts start one after another and stop in the opposite order.
 *
 * The first SIGTERM, SIGINT or SIGHUP drains: each part finishes what is under way, the last that started first,
 * so that nothing loses what it stands on. The second, or the end of the time for draining, means now: the signal
 * that each `stop` was given aborts. A part that dies by itself, and a start that fails, stop the rest the same
 * way. What does not stop even then is named and left behind.
 */
import type { Log } from './log.ts'

/** Shorter than the 30 s after which container platforms kill. */
export const DRAIN_TIMEOUT_MS = 25_000
/** What a part may take once it was told to stop now. */
const NOW_TIMEOUT_MS = 3000
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** A part that was started. */
export interface Running<T> {
  readonly value: T
  /** Finishes what is under way and frees everything; drops what is under way when `now` aborts. */
  stop(now: AbortSignal): Promise<void> | void
  /** Rejects when the part dies without having been told to. */
  readonly failed?: Promise<never>
}

export interface Life {
  /** Aborts as soon as the process is to stop: for what waits during the start, and for loops. */
  readonly stopping: AbortSignal
  /** Starts a part and returns what it is for the others. */
  start<T>(name: string, open: (stopping: AbortSignal) => Promise<Running<T>> | Running<T>): Promise<T>
  /** What the first signal does. */
  stop(reason: string): void
}

export interface LifeOptions {
  readonly log: Log
  readonly drainTimeoutMs?: number
  readonly nowTimeoutMs?: number
  /** Where signals come from; this process unless told. */
  readonly signals?: Pick<NodeJS.EventEmitter, 'on' | 'off'>
}

interface Started {
  readonly name: string
  readonly stop: Running<unknown>['stop']
}

/**
 * Runs `body`, which starts the parts and returns; then waits until it is time to stop, and stops them.
 *
 * Resolves with the exit code: 0 after a signal or `stop`, 1 when a part died or did not stop. Rejects with what
 * `body` threw, once the parts that it had started are stopped, unless it threw because it was to stop.
 */
export async function runLife(body: (life: Life) => Promise<void>, options: LifeOptions): Promise<number> {
  const { log, signals = process } = options
  const stopping = new AbortController()
  const now = new AbortController()
  const started: Started[] = []
  let code = 0

  const stop = (reason: string) => {
    if (stopping.signal.aborted) return
    log.info('stopping', { reason })
    stopping.abort(new Error(`stopping: ${reason}`))
  }
  const onSignal = (name: string) => {
    if (!stopping.signal.aborted) return stop(name)
    log.warn('stopping now', { reason: name })
    now.abort()
  }
  const start: Life['start'] = async (name, open) => {
    stopping.signal.throwIfAborted()
    log.debug('starting', { part: name })
    const running = await open(stopping.signal)
    started.push({ name, stop: (at) => running.stop(at) })
    running.failed?.catch((error: unknown) => {
      if (stopping.signal.aborted) return
      log.error('a part died', { part: name, error })
      code = 1
      stop(`${name} died`)
    })
    return running.value
  }

  for (const name of SIGNALS) signals.on(name, onSignal)
  try {
    try {
      await body({ stopping: stopping.signal, start, stop })
      await aborted(stopping.signal)
    } catch (error) {
      if (!stopping.signal.aborted) {
        stop('the start failed')
        throw error
      }
      if (error !== stopping.signal.reason) log.debug('the start was cut off', { error })
    } finally {
      if (!(await stopAll(started, { now, ...options }))) code = 1
    }
  } finally {
    for (const name of SIGNALS) signals.off(name, onSignal)
  }
  return code
}

async function stopAll(
  started: readonly Started[],
  options: LifeOptions & { readonly now: AbortController },
): Promise<boolean> {
  const { log, now, drainTimeoutMs = DRAIN_TIMEOUT_MS, nowTimeoutMs = NOW_TIMEOUT_MS } = options
  const timer = setTimeout(() => {
    log.warn('draining took too long, stopping now', { drainTimeoutMs })
    now.abort()
  }, drainTimeoutMs)
  let clean = true
  for (const { name, stop } of [...started].reverse()) {
    try {
      log.debug('stopping', { part: name })
      const done = Promise.resolve(stop(now.signal))
      if (!(await doneInTime(done, now.signal, nowTimeoutMs))) {
        log.error('a part did not stop', { part: name })
        clean = false
      }
    } catch (error) {
      log.error('a part failed to stop', { part: name, error })
      clean = false
    }
  }
  clearTimeout(timer)
  log.info('stopped')
  return clean
}

/** Whether it is done before some time after the signal. */
function doneInTime(done: Promise<void>, now: AbortSignal, afterMs: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const onNow = () => {
      timer = setTimeout(() => resolve(false), afterMs)
    }
    if (now.aborted) onNow()
    else now.addEventListener('abort', onNow, { once: true })
    const settle = () => {
      now.removeEventListener('abort', onNow)
      clearTimeout(timer)
    }
    done.finally(settle).then(() => resolve(true), reject)
  })
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
