/**
 * The load generator in a process of its own (bench/network.mjs starts it): submits jobs over HTTP, and asks for
 * leases as a node with a key of its own does.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { toBase64, toHex } from 'assay/core/bytes'
import { ed25519KeyPair } from 'assay/core/keys'
import { signExecutionBatch } from 'assay/core/poe-batch'
import { DEFAULT_WASM_LIMITS } from 'assay/wasm/limits'
import { loadWasmModule } from 'assay/wasm/module'
import { encodeRow } from 'assay/wasm/row'
import { runRecord } from 'assay/wasm/run'
import { createClient } from 'assay/wire/client'
import { SIGNATURE_HEADER, signRequest } from 'assay/wire/request-signature'
import { executeRows, groupTask } from '../packages/node/dist/executor/execution.js'
import { signNative } from '../packages/node/dist/service/native-signature.js'
import { openConnections, requestText } from './network-http.mjs'
import { serve } from './network-process.mjs'
import { readModule, recordOf } from './network-work.mjs'

const AGAIN_MS = 100
const NEVER = new AbortController().signal
const probes = new Map()

serve({
  submit,
  requests,
  async addProbe({ name, url, operator, enrolment }) {
    probes.set(name, await openProbe({ url, operator, enrolment }))
  },
  measureLeases,
  cpu() {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
})

/**
 * Submits `jobs` jobs of one `spec`, with up to `inFlight` requests at a time, spread over `urls`; at a steady rate where
 * one is given (`perSecond`). Gives the times of the requests in milliseconds, and how long all of them took.
 */
async function submit({ urls, token, spec, jobs, inFlight, perSecond }) {
  const pools = urls.map((url) => openConnections(url, Math.ceil(inFlight / urls.length)))
  const body = JSON.stringify(spec)
  const times = []
  const started = performance.now()
  const one = async (i) => {
    const dueAt = perSecond === undefined ? performance.now() : started + (1000 * i) / perSecond
    const headers = { authorization: `Bearer ${token}`, 'idempotency-key': randomUUID() }
    const text = requestText({ path: '/v1/jobs', headers, body })
    for (;;) {
      const { status, body: answer } = await pools[i % pools.length].request(text)
      if (status === 201 || status === 200) break
      if (status !== 503) throw new Error(`a submission got ${status}: ${answer.toString()}`)
      // Told to come again: the time counts, and the key makes it one job.
      await sleep(AGAIN_MS)
    }
    times.push(performance.now() - dueAt)
  }
  let next = 0
  if (perSecond === undefined) {
    await Promise.all(
      Array.from({ length: inFlight }, async () => {
        while (next < jobs) await one(next++)
      }),
    )
  } else {
    const sent = []
    while (next < jobs) {
      for (; next < jobs && started + (1000 * next) / perSecond <= performance.now(); next++)
        sent.push(one(next))
      await sleep(2)
    }
    await Promise.all(sent)
  }
  const ms = performance.now() - started
  for (const pool of pools) pool.close()
  return { ms, times }
}

/** How many requests a second a server answers. */
async function requests({ url, path, body, count, inFlight }) {
  const pool = openConnections(url, inFlight)
  const text = requestText({ path, body })
  let next = 0
  const started = performance.now()
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      for (; next < count; next++) await pool.request(text)
    }),
  )
  const ms = performance.now() - started
  pool.close()
  return (1000 * count) / ms
}

/** A node by hand: registered, signing every request, computing what it gets. */
async function openProbe({ url, operator, enrolment }) {
  const key = ed25519KeyPair(new Uint8Array(randomBytes(32)))
  const client = createClient({ url, nodeKey: key, signer: signNative })
  const manifest = {
    role: 'solver',
    publicKey: { type: key.publicKey.type, bytes: toHex(key.publicKey.bytes) },
    name: 'probe',
    operator,
    region: 'here',
    engine: 'probe',
    hardware: { tier: 3, cores: 1, memoryBytes: 2 ** 30, score: 1 },
    runtimes: ['wasm'],
    workKinds: ['wasm'],
    slots: 1024,
  }
  await client.registerNode({ body: { manifest, enrolment } })
  const connections = openConnections(url, 16)
  const send = async (path, value) => {
    const body = JSON.stringify(value)
    const signed = { method: 'POST', path, body: Buffer.from(body) }
    const claim = { key, at: Date.now(), nonce: randomBytes(16).toString('hex'), signer: signNative }
    const headers = { [SIGNATURE_HEADER]: await signRequest(signed, claim) }
    const answer = await connections.request(requestText({ path, headers, body }))
    if (answer.status !== 200) throw new Error(`${path} got ${answer.status}: ${answer.body.toString()}`)
    return JSON.parse(answer.body.toString())
  }
  return { key, send }
}

const module = loadWasmModule(readModule(), DEFAULT_WASM_LIMITS)

/** Does the work of a lease; the record of a row follows from its index. */
async function answer({ key, send }, groups) {
  for (const group of groups) {
    const computed = group.segments.map((lease) => ({
      lease,
      rows: Array.from({ length: lease.to - lease.from }, (_, i) =>
        encodeRow(runRecord(module, recordOf(lease.from + i))),
      ),
      elapsedMs: 1,
    }))
    const executed = await executeRows(groupTask(group), computed, { key, signal: NEVER })
    const fields = executed.map((each) => each.fields)
    const { signature } = await signExecutionBatch(fields, key)
    await send('/v1/results', {
      signature: toBase64(signature),
      results: executed.map(({ id, fence, commitment, output, elapsedMs }) => ({
        id,
        fence,
        commitment: toHex(commitment),
        output: { inline: toBase64(output) },
        elapsedMs,
      })),
    })
  }
}

/** Gives leases back, so that a queue keeps its length. */
async function giveBack({ send }, groups) {
  const held = groups.flatMap(({ segments }) => segments)
  const failures = held.map(({ id, fence }) => ({
    id,
    fence,
    code: 'node/stopping',
    message: 'measured',
    retryElsewhere: true,
  }))
  if (failures.length > 0) await send('/v1/failures', { failures })
}

/**
 * Asks for one lease `perSecond` times a second for `seconds`, whether or not the last one was answered, each time with
 * the next of the named probes. By name: milliseconds from the moment when a request was due to its answer.
 */
async function measureLeases({ names, perSecond, seconds, then = 'answer', max = 1 }) {
  const times = Object.fromEntries(names.map((name) => [name, []]))
  const leased = Object.fromEntries(names.map((name) => [name, 0]))
  const finish = then === 'answer' ? answer : giveBack
  const started = performance.now()
  const one = async (i) => {
    const name = names[i % names.length]
    const probe = probes.get(name)
    const dueAt = started + (1000 * i) / perSecond
    const { groups } = await probe.send('/v1/leases', { max, waitMs: 0 })
    times[name].push(performance.now() - dueAt)
    leased[name] += groups.reduce((sum, { segments }) => sum + segments.length, 0)
    await finish(probe, groups)
  }
  const sent = []
  const count = Math.floor(perSecond * seconds)
  for (let i = 0; i < count; ) {
    for (; i < count && started + (1000 * i) / perSecond <= performance.now(); i++) sent.push(one(i))
    await sleep(1)
  }
  await Promise.all(sent)
  return { times, leased }
}
