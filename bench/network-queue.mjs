/**
 * What a user would otherwise pick: pg-boss, a queue over the same PostgreSQL, whose workers run the same function.
 * No signatures, no checks, no ledger, no receipts, and nothing between worker and database. Producer and worker are
 * processes of their own (bench/network.mjs starts them).
 */
import { DEFAULT_WASM_LIMITS } from 'assay/wasm/limits'
import { loadWasmModule } from 'assay/wasm/module'
import { runRecord } from 'assay/wasm/run'
import PgBoss from 'pg-boss'
import { serve } from './network-process.mjs'
import { readModule, recordOf } from './network-work.mjs'

const QUEUE = 'squares'
/** Fetching loops of a worker: one works while another asks. */
const LOOPS = 2
const module = loadWasmModule(readModule(), DEFAULT_WASM_LIMITS)
let boss

serve({
  async start({ databaseUrl }) {
    boss = new PgBoss({ connectionString: databaseUrl, schedule: false })
    boss.on('error', (error) => console.error(error))
    await boss.start()
    await boss.createQueue(QUEUE)
  },
  /** One call for each job, as they come from requests of their own. */
  async send({ jobs, inFlight }) {
    let next = 0
    const one = async () => {
      while (next < jobs) await boss.send(QUEUE, { index: next++ })
    }
    await Promise.all(Array.from({ length: inFlight }, one))
  },
  async insert({ jobs, batch }) {
    for (let at = 0; at < jobs; at += batch) {
      await boss.insert(
        Array.from({ length: Math.min(batch, jobs - at) }, (_, i) => ({
          name: QUEUE,
          data: { index: at + i },
        })),
      )
    }
  },
  /** Works off so many. */
  async work({ jobs, batch }) {
    let done = 0
    let squares = 0
    const loop = async () => {
      while (done < jobs) {
        const fetched = await boss.fetch(QUEUE, { batchSize: batch })
        if (fetched.length === 0) continue
        done += fetched.length
        for (const { data } of fetched) squares += runRecord(module, recordOf(data.index)).output.length
        await boss.complete(
          QUEUE,
          fetched.map(({ id }) => id),
        )
      }
    }
    await Promise.all(Array.from({ length: LOOPS }, loop))
    return squares
  },
  async stop() {
    await boss?.stop({ graceful: false })
  },
})
