/** A signal that aborts after a time that can be set anew, or when another one does. Leaves no listener behind. */
import { AssayError } from '../core/errors.ts'

export interface Deadline {
  readonly signal: AbortSignal
  /** From now on, instead of what was set before. */
  set(timeoutMs: number): void
  /** When what it guards has ended. */
  clear(): void
}

/** `what` names what did not come, for the message: `wire/unavailable`. */
export function startDeadline(what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  const onParent = () => controller.abort(parent?.reason)
  if (parent?.aborted === true) onParent()
  else parent?.addEventListener('abort', onParent, { once: true })
  return {
    signal: controller.signal,
    set(timeoutMs) {
      clearTimeout(timer)
      const message = `no ${what} within ${timeoutMs} ms`
      timer = setTimeout(() => controller.abort(new AssayError('wire/unavailable', message)), timeoutMs)
    },
    clear() {
      clearTimeout(timer)
      parent?.removeEventListener('abort', onParent)
    },
  }
}

/** Resolves after the time, rejects with the reason of the signal when that aborts. */
export function sleepUnlessAborted(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
