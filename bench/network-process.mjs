/**
 * Processes of the network benchmark, and how they are talked to: the parent calls functions of a child by name.
 *
 * Coordinator, nodes and load generator are processes of their own, as in production, so that no event loop
 * measures itself.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const END_MS = 10_000

/** In the child: answers calls with the functions of `handlers`, until the parent goes. */
export function serve(handlers) {
  process.on('message', async ({ call, name, args }) => {
    try {
      const result = await handlers[name](args ?? {})
      process.send({ call, result })
    } catch (error) {
      process.send({ call, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  })
  process.on('disconnect', () => process.exit(0))
}

/** In the parent: starts `file` of this folder. `call(name, args)` gives what its function gives. */
export function startProcess(file, { execArgv = [] } = {}) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), { execArgv, serialization: 'advanced' })
  const waiting = new Map()
  let calls = 0
  const ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      for (const { reject } of waiting.values()) reject(new Error(`${file} ended: ${code ?? signal}`))
      waiting.clear()
      resolve()
    })
  })
  child.on('message', ({ call, result, error }) => {
    const entry = waiting.get(call)
    waiting.delete(call)
    if (error === undefined) entry?.resolve(result)
    else entry?.reject(new Error(`${file}: ${error}`))
  })
  return {
    pid: child.pid,
    call: (name, args) =>
      new Promise((resolve, reject) => {
        calls += 1
        waiting.set(calls, { resolve, reject })
        child.send({ call: calls, name, args })
      }),
    /** It ends by itself when its parent lets go of it; or is ended. */
    async stop() {
      if (child.connected) child.disconnect()
      const timer = setTimeout(() => child.kill('SIGKILL'), END_MS)
      await ended
      clearTimeout(timer)
    },
  }
}
