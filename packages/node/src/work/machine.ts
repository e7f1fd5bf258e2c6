/**
 * This machine as something that computes: processes for models, threads for modules, the chat endpoint beside it,
 * and the cache of what they need. Several services of one process share one.
 */
import type { Log } from '../service/log.ts'
import type { ChatEndpoint } from './chat-endpoint.ts'
import { chatClient } from './chat-rows.ts'
import { openContentCache } from './content-cache.ts'
import { openInference } from './inference.ts'
import { createWasmRunner } from './wasm-runner.ts'
import { openWorkbench, type Workbench } from './workbench.ts'

export interface MachineOptions {
  /** Of this machine alone: no two processes share one. */
  readonly cacheFolder: string
  readonly cacheBytes: number
  /** That run models; as many threads run modules. */
  readonly processes: number
  readonly chat?: ChatEndpoint | undefined
  readonly log?: Log
}

export interface Machine {
  readonly workbench: Workbench
  readonly cacheBytes: () => number
  close(): Promise<void>
}

/** @throws AssayError `store/in-use`, `store/folder` for the folder of the cache. */
export async function openMachine(options: MachineOptions): Promise<Machine> {
  const { cacheFolder: folder, cacheBytes: maxBytes, processes, chat, log } = options
  const cache = await openContentCache({ folder, maxBytes, ...(log === undefined ? {} : { log }) })
  const inference = openInference({ processes })
  const wasm = createWasmRunner({ workers: processes })
  const engines = { inference, wasm, ...(chat === undefined ? {} : { chat: chatClient(chat) }) }
  const workbench = openWorkbench(engines, cache)
  return {
    workbench,
    cacheBytes: cache.sizeBytes,
    async close() {
      await workbench.close()
      await Promise.all([inference.close(), wasm.close()])
      await cache.close()
    },
  }
}
