/**
 * Word of new work between replicas: one notification for all that was made within a moment.
 *
 * A notification takes a lock that all commits of the database share (events.ts measured it), so none goes with a
 * transaction: whoever made work tells its own boards at once, and the others up to 50 times a second at most. One that
 * is lost costs a second, after which boards look by themselves (work-board.ts).
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../../service/log.ts'
import type { Database } from '../../store/database.ts'

const CHANNEL = 'assay_work'
const TELL_MS = 20

export interface WorkSignals {
  /** Work was made here. */
  made(): void
  close(): Promise<void>
}

/** `onWork` is called for work that was made here or elsewhere. */
export async function openWorkSignals(
  db: Database,
  { onWork, log }: { readonly onWork: () => void; readonly log: Log },
): Promise<WorkSignals> {
  const self = randomUUID()
  let timer: ReturnType<typeof setTimeout> | undefined
  let telling: Promise<unknown> = Promise.resolve()
  const unlisten = await db.listen(CHANNEL, (payload) => {
    if (payload !== self) onWork()
  })
  const tell = () => {
    timer = undefined
    telling = db
      .query('SELECT pg_notify($1, $2)', [CHANNEL, self])
      .catch((error: unknown) => log.debug('other replicas were not told of work', { error }))
  }
  return {
    made() {
      onWork()
      timer ??= setTimeout(tell, TELL_MS)
    },
    async close() {
      clearTimeout(timer)
      await telling
      await unlisten()
    },
  }
}
