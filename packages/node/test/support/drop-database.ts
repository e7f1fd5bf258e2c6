/** Drops a database, whoever is connected. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Database } from '../../src/store/database.ts'

const TRIES = 50
const PAUSE_MS = 200

/** A worker of autovacuum may be at it, which only a superuser ends: it is done in a moment. */
export async function dropDatabase(admin: Database, name: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`)
      return
    } catch (error) {
      const isBusy = String((error as { readonly cause?: unknown }).cause ?? error).includes(
        'terminate process',
      )
      if (!isBusy || tries === TRIES) throw error
      await pause(PAUSE_MS)
    }
  }
}
