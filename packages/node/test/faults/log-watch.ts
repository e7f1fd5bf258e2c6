/** Somebody who looks at the transparency log again and again, and remembers what it was shown. */
import { setTimeout as pause } from 'node:timers/promises'
import { fromHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import type { LogIdentity } from 'assay/receipt/log/checkpoint'
import { type ConsistencyAnswer, judgeLog } from 'assay/receipt/log/monitor'
import type { Client } from 'assay/wire/client'

const LOOK_MS = 1_000

export interface LogWatch {
  /** How often each outcome was found. */
  readonly outcomes: ReadonlyMap<string, number>
  /** Looks once more, and ends. */
  finish(): Promise<void>
}

export function watchLog(clients: readonly Client[], signal: AbortSignal): LogWatch {
  const outcomes = new Map<string, number>()
  let kept: string | null = null
  let isFinishing = false

  const look = async (client: Client) => {
    const { coordinator, logOrigin } = await client.network({}, { signal })
    const { type, bytes } = coordinator.publicKey
    const log: LogIdentity = { origin: logOrigin, publicKey: { type, bytes: fromHex(bytes) } }
    const shown = await client.checkpoint({}, { signal })
    const consistency = await consistencyOf(client, kept, shown)
    const judgement = await judgeLog({ kept, shown, consistency }, log)
    if ('keep' in judgement) kept = judgement.keep
    outcomes.set(judgement.outcome, (outcomes.get(judgement.outcome) ?? 0) + 1)
  }
  const run = async () => {
    for (let i = 0; !signal.aborted; i++) {
      const isLast = isFinishing
      try {
        await look(clients[i % clients.length] as Client)
        if (isLast) return
      } catch (error) {
        if (!(error instanceof AssayError)) throw error
      }
      await pause(LOOK_MS, undefined, { signal }).catch(() => undefined)
    }
  }
  const running = run()
  running.catch(() => undefined)
  return {
    outcomes,
    finish: () => {
      isFinishing = true
      return running
    },
  }
}

async function consistencyOf(
  client: Client,
  kept: string | null,
  shown: string,
): Promise<ConsistencyAnswer | null> {
  if (kept === null) return null
  const sizes = [kept, shown].map((checkpoint) => Number(checkpoint.split('\n', 2)[1]))
  const [from = 0, to = 0] = sizes.toSorted((a, b) => a - b)
  if (from === to) return null
  const { fromRoot, path } = await client.logConsistency({ query: { from, to } })
  return { fromRoot: fromHex(fromRoot), proof: path.map(fromHex) }
}
