/**
 * This machine as something that computes: processes for models, threads for modules, the chat endpoint beside it,
 * and the cache of what they need. Several services of one process share one.
 */
import type { Secret } from '../service/secret.ts'
import type { CHAT_PROTOCOLS } from './chat-endpoint.ts'
import { chatClient } from './chat-rows.ts'
import { openContentCache } from './content-cache.ts'
import { openInference } from './inference.ts'
import { openWorkbench, type Workbench } from './workbench.ts'

export interface MachineOptions {
  readonly cacheFolder: string
  readonly cacheBytes: number
  /** That run models. */
  readonly processes: number
  readonly chatUrl?: string | undefined
  readonly chatProtocol: (typeof CHAT_PROTOCOLS)[number]
  readonly chatModels: readonly string[]
  readonly chatToken?: Secret | undefined
  readonly chatParallel: number
  readonly chatTimeoutMs: number
}

export interface Machine {
  readonly workbench: Workbench
  readonly cacheBytes: () => number
  close(): Promise<void>
}

export function openMachine(options: MachineOptions): Machine {
  const { cacheFolder, cacheBytes, processes, chatUrl, chatToken } = options
  const cache = openContentCache({ folder: cacheFolder, maxBytes: cacheBytes })
  const inference = openInference({ processes })
  const chat =
    chatUrl === undefined
      ? undefined
      : chatClient({
          url: chatUrl,
          protocol: options.chatProtocol,
          models: options.chatModels,
          parallel: options.chatParallel,
          timeoutMs: options.chatTimeoutMs,
          ...(chatToken === undefined ? {} : { token: chatToken.reveal() }),
        })
  const workbench = openWorkbench({ inference, ...(chat === undefined ? {} : { chat }) }, cache)
  return {
    workbench,
    cacheBytes: cache.sizeBytes,
    async close() {
      await workbench.close()
      await inference.close()
      await cache.close()
    },
  }
}
