/**
 * `assay log verify`: watches the transparency log of receipts from outside, so that a coordinator that rewrites
 * history is caught by whoever looked before.
 */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { equalBytes, fromBase64, fromHex, toHex } from 'assay/core/bytes'
import { parseWith } from 'assay/core/codec'
import { AssayError } from 'assay/core/errors'
import { leafHashes } from 'assay/core/merkle'
import type { Checkpoint, LogIdentity } from 'assay/receipt/log/checkpoint'
import { judgeLog, type LogJudgement } from 'assay/receipt/log/monitor'
import { appendLeaves, EMPTY_FRONTIER, type Frontier, frontierRoot } from 'assay/receipt/log/tree'
import { type Client, createClient } from 'assay/wire/client'
import { Command } from 'commander'
import * as z from 'zod/mini'
import {
  type AddCommand,
  describedCommand,
  type Outcome,
  type Perform,
  type Session,
  USAGE_EXIT,
} from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connectionOf } from './connection.ts'
import { isFile, readJson, toJsonText, writeWhole } from './files.ts'
import { formatCount, type Style, table } from './style.ts'

const MAX_KEPT_BYTES = 2 ** 18
/** Leaves of one request. */
const PAGE = 500

const keptSchema = z.strictObject({ origin: z.string(), checkpoint: z.string() })

interface LogOptions extends ConnectionOptions {
  readonly state?: string
  readonly full: boolean
  readonly evidence: string
}

export const logCommand: AddCommand = (perform) =>
  new Command('log')
    .summary('watch the transparency log of receipts')
    .description('Every receipt is a leaf of an append-only log that the coordinator signs.')
    .addCommand(verifyCommand(perform))

function verifyCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('verify', {
      summary: 'check that the log only grew since you looked last',
      description:
        'Fetches the newest signed checkpoint and a proof that it continues the one that you saw last, which is kept ' +
        'in a file of yours. A coordinator that changed or dropped a receipt cannot give that proof; what convicts ' +
        'it is written to a file that anybody can check. With --full, every leaf is fetched and the root computed.',
      examples: [
        ['did it only grow', 'assay log verify'],
        ['compute the root from every leaf', 'assay log verify --full'],
      ],
      exits: [[0, 'the log continues what you saw'], [1, 'it does not, or shows none'], USAGE_EXIT],
    }),
  )
    .option(
      '--state <file>',
      'where the last checkpoint is kept (default: by log, under ~/.local/state/assay)',
    )
    .option('--full', 'fetch every leaf', false)
    .option('--evidence <file>', 'where to write what convicts the log', 'log-evidence.json')
    .action(perform(verifyLog))
}

async function verifyLog(options: LogOptions, session: Session): Promise<Outcome> {
  const connection = await connectionOf(options)
  const client = createClient(connection)
  const call = { signal: session.signal }
  const network = await client.network({}, call)
  if (connection.coordinator !== undefined && connection.coordinator !== network.coordinator.nodeId) {
    throw new AssayError(
      'cli/usage',
      `expected the coordinator ${connection.coordinator}, and ${network.coordinator.nodeId} answers: this is another network`,
    )
  }
  const { type, bytes } = network.coordinator.publicKey
  const log: LogIdentity = { origin: network.logOrigin, publicKey: { type, bytes: fromHex(bytes) } }
  const path = options.state ?? statePath(network.coordinator.nodeId)
  const kept = await readKept(path, log)
  const shown = await client.checkpoint({}, call)
  const judgement = await judgeLog(
    { kept, shown, consistency: await consistencyOf(client, kept, shown) },
    log,
  )
  const rootFault =
    options.full && 'checkpoint' in judgement
      ? await checkLeaves(client, judgement.checkpoint, session)
      : null
  const isGood = judgement.outcome === 'ok' && rootFault === null
  if ('keep' in judgement && rootFault === null) {
    await writeWhole(path, toJsonText({ origin: log.origin, checkpoint: judgement.keep }))
  }
  if ('evidence' in judgement) await writeWhole(options.evidence, toJsonText(evidenceJson(judgement)))
  return {
    exitCode: isGood ? 0 : 1,
    json: {
      outcome: judgement.outcome,
      reason: rootFault ?? judgement.reason,
      origin: log.origin,
      coordinator: network.coordinator.nodeId,
      size: 'checkpoint' in judgement ? judgement.checkpoint.size : null,
      root: 'checkpoint' in judgement ? toHex(judgement.checkpoint.root) : null,
      full: options.full,
      kept: path,
      evidence: 'evidence' in judgement ? options.evidence : null,
    },
    text: (style) => logText(judgement, { rootFault, options, path, style }),
  }
}

function statePath(coordinator: string): string {
  const state = process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state')
  return join(state, 'assay', `log-${coordinator}.json`)
}

async function readKept(path: string, { origin }: LogIdentity): Promise<string | null> {
  if (!(await isFile(path))) return null
  const value = await readJson(path, { maxBytes: MAX_KEPT_BYTES, what: 'the last checkpoint' })
  const kept = parseWith(keptSchema, value, path)
  if (kept.origin !== origin) {
    throw new AssayError(
      'cli/usage',
      `${path} is of the log ${kept.origin}, not of ${origin}: name another --state`,
    )
  }
  return kept.checkpoint
}

/** Sizes are the second line of a checkpoint; the judgement reads them again, behind the signature. */
function sizeOf(checkpoint: string): number {
  return Number(checkpoint.split('\n', 2)[1])
}

async function consistencyOf(client: Client, kept: string | null, shown: string) {
  const sizes = [kept === null ? 0 : sizeOf(kept), sizeOf(shown)].toSorted((a, b) => a - b)
  const [from, to] = sizes as [number, number]
  if (kept === null || from === to || !Number.isSafeInteger(to)) return null
  try {
    const answer = await client.logConsistency({ query: { from, to } })
    return { fromRoot: fromHex(answer.fromRoot), proof: answer.path.map(fromHex) }
  } catch (error) {
    // A log that gives no proof is judged for that.
    if (error instanceof AssayError) return null
    throw error
  }
}

/** Why the leaves do not give the signed root; null where they do. */
async function checkLeaves(client: Client, checkpoint: Checkpoint, session: Session): Promise<string | null> {
  let frontier: Frontier = EMPTY_FRONTIER
  while (frontier.size < checkpoint.size) {
    const limit = Math.min(PAGE, checkpoint.size - frontier.size)
    const { leaves } = await client.logEntries(
      { query: { from: frontier.size, limit } },
      { signal: session.signal },
    )
    if (leaves.length === 0) return `the log has ${checkpoint.size} leaves, and hands out ${frontier.size}`
    const hashes = leafHashes(leaves.slice(0, limit).map((leaf) => fromBase64(leaf)))
    frontier = appendLeaves(frontier, hashes).frontier
    session.progress('leaves', frontier.size, checkpoint.size)
  }
  return equalBytes(frontierRoot(frontier), checkpoint.root)
    ? null
    : 'the leaves that the log hands out do not give the root that it signed'
}

function evidenceJson({ evidence }: Extract<LogJudgement, { readonly evidence: unknown }>) {
  const { consistency } = evidence
  return {
    ...evidence,
    consistency:
      consistency === null
        ? null
        : { fromRoot: toHex(consistency.fromRoot), proof: consistency.proof.map(toHex) },
  }
}

interface TextParts {
  readonly rootFault: string | null
  readonly options: LogOptions
  readonly path: string
  readonly style: Style
}

function logText(judgement: LogJudgement, { rootFault, options, path, style }: TextParts): string {
  const isGood = judgement.outcome === 'ok' && rootFault === null
  const mark = isGood ? style.good('✔') : style.bad('✘')
  const rows = [['reason', rootFault ?? judgement.reason]]
  if ('checkpoint' in judgement) {
    const { size, root } = judgement.checkpoint
    rows.push(['leaves', formatCount(size)], ['root', toHex(root)], ['kept in', path])
  }
  if ('evidence' in judgement) rows.push(['evidence', options.evidence])
  return `${mark} ${style.strong(isGood ? 'the log continues what you saw' : judgement.outcome)}\n${table(rows)}`
}
