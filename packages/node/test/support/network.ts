/** A database with the schema of a network, empty, and as many replicas over it as a test wants. */
import { type Database, type DatabaseOptions, openDatabase, type Tx } from '../../src/store/database.ts'
import { MIGRATIONS } from '../../src/store/migrations/all.ts'
import { testDatabase } from './postgres.ts'

export interface TestNetwork {
  readonly url: string
  readonly db: Database
  /** In a transaction of `db`. */
  tx<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /** Another pool over the same tables, as another replica has; closed with the rest. */
  open(options?: DatabaseOptions): Database
  close(): Promise<void>
}

export async function openTestNetwork(): Promise<TestNetwork> {
  const database = await testDatabase({ migrations: MIGRATIONS })
  const opened: Database[] = []
  const open = (options: DatabaseOptions = {}) => {
    const db = openDatabase(database.url, { maxConnections: 8, ...options })
    opened.push(db)
    return db
  }
  const db = open()
  return {
    url: database.url,
    db,
    tx: (work) => db.tx(work),
    open,
    async close() {
      await Promise.all(opened.map((each) => each.close()))
      await database.drop()
    },
  }
}
