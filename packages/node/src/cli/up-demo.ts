/**
 * `assay up --demo`: the main job before one's eyes. Five nodes of five operators, of which one is lazy, one alters its
 * outputs and one dies in the middle of its lease; a verifier; the digits as one job of many segments. At the end the
 * outputs must be those of an honest run, the cheats caught, the receipt good, and no credit lost.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openBatch } from 'assay/onnx/batch'
import { encodeTensors } from 'assay/state/tensors'
import { encodeRows } from 'assay/task/rows'
import { addressOf } from 'assay/wire/blob-transfer'
import type { JobView } from 'assay/wire/job'
import type { NodeView } from 'assay/wire/manifest'
import { fetchReceipt, fetchResult, submitJob, verifyJob, waitForJob } from 'assay/wire/submit'
import { cheatParts } from '../network/cheats.ts'
import { type Network, type NodePlan, startNetwork } from '../network/up.ts'
import { createLog } from '../service/log.ts'
import type { Outcome, Session } from './command.ts'
import { dropConnection } from './connection.ts'
import { DIGITS_FOLDER, type Digits, readDigits } from './digits.ts'
import { eventLine } from './event-text.ts'
import { toJsonText, writeWhole } from './files.ts'
import { openRuntime } from './onnx-runtime.ts'
import { formatCount, formatDuration, type Style, table } from './style.ts'
import { leaveConnection, type UpOptions } from './up-options.ts'

const SEGMENT_ROWS = 24
const REDUNDANCY = 0.2
const PRICE = 2
const LEASE_SECONDS = 3
/** What the nodes may take to stop: the job is done, and what the dead one holds will not be. */
const STOP_MS = 500
const RECEIPT = 'run/demo/network-receipt.json'

const NODES: readonly (NodePlan & { readonly does: string })[] = [
  { name: 'ada', operator: 'alpha', slots: 2, does: 'runs every row' },
  { name: 'ben', operator: 'beta', slots: 2, does: 'runs every row' },
  { name: 'lazy', operator: 'gamma', slots: 2, does: 'makes half of its rows up', cheat: cheatParts('lazy') },
  {
    name: 'altered',
    operator: 'delta',
    slots: 2,
    does: 'alters half of its outputs',
    cheat: cheatParts('altered'),
  },
  {
    name: 'dying',
    operator: 'epsilon',
    slots: 2,
    does: 'dies in the middle of a lease',
    cheat: cheatParts('dies', { after: 1 }),
  },
]

interface DemoReport {
  readonly url: string
  readonly job: JobView
  readonly before: readonly NodeView[]
  readonly after: readonly NodeView[]
  readonly balances: { readonly before: number; readonly after: number }
  /** Over all accounts; must be zero. */
  readonly ledgerSum: number
  readonly isOutputRight: boolean
  readonly receipt: { readonly isValid: boolean; readonly text: string }
  /** Nodes that were found to cheat, by name. */
  readonly caught: readonly string[]
  readonly elapsedMs: number
}

export async function runNetworkDemo(options: UpOptions, session: Session): Promise<Outcome> {
  const started = performance.now()
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'assay-network-'))
  if (options.folder === undefined) chmodSync(folder, 0o755)
  const log = createLog({ level: options.logLevel === 'warn' ? 'error' : options.logLevel })
  session.note('Starting a database, a coordinator, a verifier and five nodes of five operators …')
  const network = await startNetwork({
    folder,
    port: options.port ?? 0,
    nodes: NODES,
    log,
    signal: session.signal,
    ...(options.databaseUrl === undefined ? {} : { databaseUrl: options.databaseUrl }),
  })
  try {
    const outcome = demoOutcome(await runDemo(network, { session, started }))
    if (options.keep) {
      session.note(outcome.text(PLAIN))
      await leaveConnection(network, session)
      await untilAborted(session.signal)
      await dropConnection(network)
    }
    return outcome
  } finally {
    await network.stop(AbortSignal.timeout(STOP_MS))
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true })
  }
}

function untilAborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}

async function runDemo(
  network: Network,
  { session, started }: { readonly session: Session; readonly started: number },
): Promise<DemoReport> {
  const { admin, submitter } = network
  const digits = await readDigits(DIGITS_FOLDER)
  const input = encodeTensors(digits.inputs)
  const before = await allNodes(network)
  const balanceBefore = (await submitter.client.balance()).balance
  const watching = new AbortController()
  const watch = watchNetwork(network, { session, signal: watching.signal })
  const rows = digits.labels.length
  const segments = Math.ceil(rows / SEGMENT_ROWS)
  const work = {
    kind: 'onnx',
    model: digits.model.cid,
    runtime: 'reproducible',
    batch: 'first-axis',
  } as const
  const job = await submitJob(
    submitter.client,
    {
      name: 'handwritten digits',
      work,
      rows,
      segmentRows: SEGMENT_ROWS,
      validation: {
        redundancy: { share: REDUNDANCY },
        sampling: { share: 1, confidence: 0.99, fakedShare: 0.25 },
      },
      pricePerSegment: PRICE,
      budget: segments * PRICE * 3,
      leaseSeconds: LEASE_SECONDS,
      deadlineSeconds: 300,
    },
    { input, content: [digits.model.bytes], signal: session.signal },
  )
  session.note(
    `Job ${job.id}: ${formatCount(rows)} images in ${formatCount(segments)} segments, ${formatCount(job.escrow)} credits in escrow.`,
  )
  const ended = await waitForJob(submitter.client, job.id, { until: 'receipt', signal: session.signal })
  const result = ended.state === 'accepted' ? await fetchResult(submitter.client, job.id) : []
  const receipt = await checkReceipt(network, { job: ended, result, inputCid: await addressOf(input) })
  const expected = await honestRows(digits)
  const caught = await caughtNodes(network)
  watching.abort()
  await watch
  const { items } = await admin.client.accounts({ query: { limit: 500 } })
  return {
    url: network.url,
    job: ended,
    before,
    after: await allNodes(network),
    balances: { before: balanceBefore, after: (await submitter.client.balance()).balance },
    ledgerSum: items.reduce((sum, { balance }) => sum + balance, 0),
    isOutputRight: Buffer.compare(encodeRows(result), encodeRows(expected)) === 0,
    receipt,
    caught,
    elapsedMs: performance.now() - started,
  }
}

/** What an honest run gives: on this machine, beside the network. */
async function honestRows({ model, inputs, labels }: Digits): Promise<Uint8Array[]> {
  const batch = await openBatch(model, await openRuntime('wasm'), { batch: 'first-axis' })
  try {
    const rows: Uint8Array[] = []
    for (let index = 0; index < labels.length; index++)
      rows.push(encodeTensors(await batch.row(inputs, index)))
    return rows
  } finally {
    await batch.close()
  }
}

async function checkReceipt(
  { submitter, coordinatorId }: Network,
  {
    job,
    result,
    inputCid,
  }: { readonly job: JobView; readonly result: readonly Uint8Array[]; readonly inputCid: string },
): Promise<DemoReport['receipt']> {
  if (job.state !== 'accepted') return { isValid: false, text: `there is none: the job is ${job.state}` }
  const bundle = await fetchReceipt(submitter.client, job.id)
  await writeWhole(RECEIPT, toJsonText(bundle))
  const verdict = await verifyJob(bundle, { job, inputCid, rows: result, signer: coordinatorId })
  if (!verdict.ok) return { isValid: false, text: `${verdict.code}: ${verdict.message}` }
  const { executions, verdicts, outputs } = verdict.value.checked
  const text = `${formatCount(executions)} signed executions, ${formatCount(verdicts)} verdicts of the verifier and ${formatCount(outputs)} outputs checked here; it is in ${RECEIPT}`
  return { isValid: true, text }
}

async function allNodes({ admin }: Network): Promise<readonly NodeView[]> {
  const { items } = await admin.client.listNodes({ query: { limit: 100 } })
  return items.filter(({ manifest }) => manifest.role === 'solver')
}

async function caughtNodes(network: Network): Promise<string[]> {
  return (await allNodes(network)).filter(({ faults }) => faults > 0).map(({ manifest }) => manifest.name)
}

/** Tells the events of the network as they come: what was leased in sums, what was found one by one. */
async function watchNetwork(
  { admin }: Network,
  { session, signal }: { readonly session: Session; readonly signal: AbortSignal },
): Promise<void> {
  try {
    for await (const event of admin.client.networkEvents({}, { signal })) {
      if (!QUIET.test(event.type)) session.note(eventLine(event))
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Of the start of the network. */
const QUIET = /^(?:key|ledger|node\.registered|blob)/

function demoOutcome(report: DemoReport): Outcome {
  const { job, isOutputRight, receipt, ledgerSum, caught } = report
  const cheats = NODES.filter(({ name }) => name === 'lazy' || name === 'altered').map(({ name }) => name)
  const honest = NODES.filter(({ cheat }) => cheat === undefined).map(({ name }) => name)
  const isRight =
    job.state === 'accepted' &&
    isOutputRight &&
    receipt.isValid &&
    ledgerSum === 0 &&
    cheats.every((name) => caught.includes(name)) &&
    honest.every((name) => !caught.includes(name))
  return {
    exitCode: isRight ? 0 : 1,
    json: {
      isRight,
      job: job as never,
      isOutputRight,
      receipt,
      caught,
      ledgerSum,
      balances: report.balances,
      nodes: report.after as never,
      elapsedMs: report.elapsedMs,
    },
    text: (style) => demoText(report, { style, isRight }),
  }
}

function demoText(
  report: DemoReport,
  { style, isRight }: { readonly style: Style; readonly isRight: boolean },
): string {
  const { job, before, after, balances, isOutputRight, receipt, ledgerSum, elapsedMs } = report
  const mark = (good: boolean) => (good ? style.good('✔') : style.bad('✘'))
  const earned = (node: NodeView | undefined) => (node === undefined ? 0 : node.balance + node.held)
  const rows = NODES.map(({ name, does }) => {
    const was = before.find(({ manifest }) => manifest.name === name)
    const is = after.find(({ manifest }) => manifest.name === name)
    const faults = is?.faults ?? 0
    return [
      name,
      does,
      formatCount(is?.accepted ?? 0),
      faults === 0 ? '0' : style.bad(formatCount(faults)),
      is?.standing ?? 'unknown',
      `${formatCount(earned(was))} → ${formatCount(earned(is))}`,
      `${formatCount(was?.stake ?? 0)} → ${formatCount(is?.stake ?? 0)}`,
    ]
  })
  const head = ['node', 'what it does', 'accepted', 'found wrong', 'standing', 'earned', 'stake']
  return [
    style.strong('One job on machines that nobody trusts'),
    '',
    table([head.map(style.faint), ...rows]),
    '',
    table([
      [
        `${mark(job.state === 'accepted')} job`,
        `${job.state}: ${formatCount(job.segments.total)} segments, ${formatCount(job.audits)} run again, ${formatCount(job.faults)} results found wrong and replaced`,
      ],
      [
        `${mark(isOutputRight)} outputs`,
        isOutputRight ? 'the same bits as an honest run on this machine' : 'not those of an honest run',
      ],
      [`${mark(receipt.isValid)} receipt`, receipt.text],
      [
        `${mark(ledgerSum === 0)} credits`,
        `you ${formatCount(balances.before)} → ${formatCount(balances.after)}; the sum over all accounts is ${ledgerSum}`,
      ],
    ]),
    '',
    `${mark(isRight)} ${isRight ? 'All went as it should' : 'Something did not go as it should'}, in ${formatDuration(elapsedMs)}. Why each node stands as it does: assay up, then assay node show.`,
  ].join('\n')
}

const same = (text: string) => text
const PLAIN: Style = { good: same, bad: same, strong: same, faint: same }
