/** Nodes in a process of their own (bench/network.mjs starts it): the real service, with real keys and signatures. */
import { randomBytes } from 'node:crypto'
import { ed25519KeyPair } from 'assay/core/keys'
import { measureHardware } from '../packages/node/dist/executor/benchmark.js'
import { NODE_OPTIONS } from '../packages/node/dist/executor/config.js'
import { startNode } from '../packages/node/dist/executor/service.js'
import { readConfig } from '../packages/node/dist/service/config.js'
import { createLog } from '../packages/node/dist/service/log.js'
import { openMachine } from '../packages/node/dist/work/machine.js'
import { serve } from './network-process.mjs'

const log = createLog({ level: 'error' })
const nodes = []
let machine

serve({
  /** One node for each of `plans`: `{ operator, enrolment, urls }`; they share what computes. */
  async start({ plans, slots, cacheFolder }) {
    machine ??= await openMachine({ cacheFolder, cacheBytes: 2 ** 30, processes: 1, log })
    const hardware = await measureHardware()
    for (const { operator, enrolment, urls } of plans) {
      const flags = { coordinator: urls, enrolment, operator, name: operator, slots, cacheFolder }
      const { values } = readConfig(NODE_OPTIONS, { flags })
      const key = ed25519KeyPair(new Uint8Array(randomBytes(32)))
      nodes.push(await startNode(values, { key, log, machine, hardware }))
    }
    return nodes.map(({ nodeId }) => nodeId)
  },
  cpu() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
  async stop() {
    await Promise.all(nodes.splice(0).map((node) => node.drain(AbortSignal.timeout(2_000))))
    await machine?.close()
    machine = undefined
  },
})
