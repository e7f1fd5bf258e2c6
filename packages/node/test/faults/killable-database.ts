/** A PostgreSQL that can be killed, and comes back over the same folder and at the same port. It syncs to disk. */
import { setTimeout as pause } from 'node:timers/promises'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/store/embedded.ts'

export interface KillableDatabase {
  readonly url: string
  readonly port: number
  /** Kills it, as a machine would that goes away, and resolves when it is back. */
  kill(downMs: number): Promise<void>
  readonly kills: number
  stop(): Promise<void>
}

const TRIES = 100
const RETRY_MS = 200

export async function startKillableDatabase(dataDir: string): Promise<KillableDatabase> {
  const settings = { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on' }
  let server = await startEmbeddedPostgres({ dataDir, settings })
  const { url, port } = server
  let kills = 0

  const startAgain = async (): Promise<EmbeddedPostgres> => {
    for (let tries = 1; ; tries++) {
      try {
        return await startEmbeddedPostgres({ dataDir, port, settings })
      } catch (error) {
        // Its port may be somebody's for a moment.
        if (tries >= TRIES) throw error
        await pause(RETRY_MS)
      }
    }
  }
  return {
    url,
    port,
    get kills() {
      return kills
    },
    async kill(downMs) {
      kills++
      process.kill(server.pid, 'SIGKILL')
      await server.failed.catch(() => undefined)
      await pause(downMs)
      server = await startAgain()
    },
    stop: () => server.stop(),
  }
}
