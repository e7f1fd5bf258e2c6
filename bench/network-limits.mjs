/** What the machine gives: the bounds of every figure of the network benchmark. A process of its own. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { ed25519KeyPair } from 'assay/core/keys'
import { createApi, listen } from '../packages/node/dist/service/http.js'
import { createLog } from '../packages/node/dist/service/log.js'
import { signNative, verifyNative } from '../packages/node/dist/service/native-signature.js'
import { openDatabase } from '../packages/node/dist/store/database.js'
import { serve } from './network-process.mjs'

const MAX_BODY_BYTES = 2 ** 20
const BLOCK = Buffer.alloc(8192, 1)
let server

/** How often a second; `run` is called until `ms` are over. */
async function perSecond(ms, run) {
  const started = performance.now()
  let count = 0
  while (performance.now() - started < ms) {
    await run()
    count++
  }
  return (1000 * count) / (performance.now() - started)
}

serve({
  /** Writes of one block, each with fdatasync, where the database has its files. */
  async fsync({ folder, ms }) {
    const path = join(folder, 'fsync-probe')
    const file = openSync(path, 'w')
    const rate = await perSecond(ms, () => {
      writeSync(file, BLOCK, 0, BLOCK.length, 0)
      fdatasyncSync(file)
    })
    closeSync(file)
    rmSync(path)
    return rate
  },
  /** Commits of one row over one connection, one after the other. */
  async commits({ databaseUrl, ms }) {
    const client = openDatabase(databaseUrl, { maxConnections: 1 })
    await client.query('CREATE TABLE commit_probe (value integer)')
    const rate = await perSecond(ms, () => client.query('INSERT INTO commit_probe VALUES (1)'))
    await client.query('DROP TABLE commit_probe')
    await client.close()
    return rate
  },
  /** Ed25519 checks of one core. */
  async verifies({ ms }) {
    const key = ed25519KeyPair(new Uint8Array(32).fill(7))
    const message = new Uint8Array(256).fill(1)
    const signature = await signNative(key, message)
    // A key is looked at once, by slower means.
    await verifyNative(key.publicKey, message, signature)
    return perSecond(ms, () => verifyNative(key.publicKey, message, signature))
  },
  /** A handler that parses JSON and answers with some, on the HTTP side that the services stand on. */
  async handler() {
    const api = createApi({
      log: createLog({ level: 'error' }),
      maxBodyBytes: MAX_BODY_BYTES,
      errors: {},
      statuses: {},
    })
    api.app.post('/echo', async (c) =>
      c.json({ keys: Object.keys(await api.readJson(c, MAX_BODY_BYTES)).length }),
    )
    server = await listen(api, { log: createLog({ level: 'error' }) })
    return server.url
  },
  async stop() {
    await server?.close(AbortSignal.abort())
  },
})
