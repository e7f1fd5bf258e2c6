/** A coordinator in a process of its own (bench/network.mjs starts it), and what it takes of memory and time. */
import { setTimeout as sleep } from 'node:timers/promises'
import { readCoordinatorConfig } from '../packages/node/dist/coordinator/config.js'
import { startCoordinator } from '../packages/node/dist/coordinator/service.js'
import { createLog } from '../packages/node/dist/service/log.js'
import { serve } from './network-process.mjs'

let coordinator

serve({
  async start({ databaseUrl, blobFolder }) {
    const flags = { databaseUrl, blobFolder, port: 0, host: '127.0.0.1', canariesPerHour: 0 }
    coordinator = await startCoordinator(readCoordinatorConfig({ flags }), {
      log: createLog({ level: 'error' }),
    })
    return { url: coordinator.url, adminToken: coordinator.adminToken }
  },
  /** Bytes, after two collections where the process was started with --expose-gc. */
  async memory() {
    if (globalThis.gc !== undefined) {
      globalThis.gc()
      await sleep(50)
      globalThis.gc()
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, heapUsed, external }
  },
  /** Seconds of processor time so far. */
  cpu() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
  async stop() {
    await coordinator?.stop(AbortSignal.timeout(5_000))
  },
})
