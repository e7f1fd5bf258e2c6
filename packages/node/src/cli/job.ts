/** `assay job`: jobs of this account on a network. */

import type { JobView, SegmentView } from 'assay/wire/job'
import { isFinal, JOB_STATES, type JobState } from 'assay/wire/life'
import { Command, Option } from 'commander'
import { countFrom } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Perform, USAGE_EXIT } from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { eventLine } from './event-text.ts'
import { toJsonText, writeWhole } from './files.ts'
import { formatCount, type Style, table } from './style.ts'

export const jobCommand: AddCommand = (perform) =>
  new Command('job')
    .summary('list, show, cancel jobs; fetch results and receipts')
    .description('Works with the jobs of your account: `assay submit` makes them.')
    .addCommand(listCommand(perform))
    .addCommand(showCommand(perform))
    .addCommand(eventsCommand(perform))
    .addCommand(resultCommand(perform))
    .addCommand(receiptCommand(perform))
    .addCommand(cancelCommand(perform))

interface ListOptions extends ConnectionOptions {
  readonly state?: JobState
  readonly limit: number
}

function listCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('ls', {
      summary: 'list jobs, newest first',
      description: 'Lists the newest jobs of your account.',
      examples: [['what runs now', 'assay job ls --state running']],
      exits: [[0, 'listed'], USAGE_EXIT],
    }),
  )
    .addOption(new Option('--state <state>', 'only these').choices(JOB_STATES))
    .option('--limit <n>', 'how many', countFrom(1), 20)
    .action(
      perform<ListOptions>(async (options, { signal }) => {
        const client = await connect(options)
        const query = {
          limit: options.limit,
          ...(options.state === undefined ? {} : { state: options.state }),
        }
        const { items } = await client.listJobs({ query }, { signal })
        return {
          exitCode: 0,
          json: { jobs: items as never },
          text: (style) =>
            items.length === 0 ? 'No jobs yet: `assay submit` makes one.' : jobTable(items, style),
        }
      }),
    )
}

function jobTable(jobs: readonly JobView[], style: Style): string {
  const rows = jobs.map((job) => [
    job.id,
    stateText(job.state, style),
    job.spec.name,
    `${formatCount(job.segments.accepted)} of ${formatCount(job.segments.total)}`,
    formatCount(job.audits),
    formatCount(job.faults),
    formatCount(job.spent),
  ])
  return table([
    ['job', 'state', 'name', 'segments', 'audits', 'faults', 'credits'].map(style.faint),
    ...rows,
  ])
}

export function stateText(state: JobState, style: Style): string {
  if (state === 'accepted') return style.good(state)
  return isFinal(state) ? style.bad(state) : state
}

function showCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('show', {
      summary: 'show one job',
      description: 'Shows state, segments, audits and costs of a job, and why it ended as it did.',
      examples: [
        ['how far it is', 'assay job show JOB'],
        ['segment by segment', 'assay job show JOB --segments'],
      ],
      exits: [[0, 'shown'], USAGE_EXIT],
    }),
  )
    .argument('<job>', 'its id')
    .option('--segments', 'list the first 500 segments', false)
    .action(
      perform<ConnectionOptions & { readonly segments: boolean }>(async (options, { signal }, [id = '']) => {
        const client = await connect(options)
        const job = await client.showJob({ params: { id } }, { signal })
        const segments = options.segments
          ? (await client.listSegments({ params: { id }, query: { limit: 500 } }, { signal })).items
          : []
        return {
          exitCode: 0,
          json: { job: job as never, ...(options.segments ? { segments: segments as never } : {}) },
          text: (style) => [jobText(job, style), segmentTable(segments, style)].filter(Boolean).join('\n\n'),
        }
      }),
    )
}

export function jobText(job: JobView, style: Style): string {
  const { segments } = job
  const waiting = segments.queued + segments.leased + segments.committed
  return table([
    ['job', style.strong(job.id)],
    ['name', job.spec.name],
    ['state', stateText(job.state, style) + (job.reason === null ? '' : `: ${job.reason}`)],
    [
      'segments',
      `${formatCount(segments.accepted)} of ${formatCount(segments.total)} accepted, ${formatCount(waiting)} under way`,
    ],
    ['run again to audit', formatCount(job.audits)],
    ['found wrong', formatCount(job.faults)],
    ['credits', `${formatCount(job.spent)} spent, ${formatCount(job.escrow)} in escrow`],
    ['submitted', job.submittedAt],
    ['deadline', job.deadlineAt],
    ...(job.endedAt === null ? [] : [['ended', job.endedAt]]),
    ['receipt', job.receipt],
  ])
}

function segmentTable(segments: readonly SegmentView[], style: Style): string {
  if (segments.length === 0) return ''
  const rows = segments.map((segment) => [
    String(segment.index),
    `${segment.from}–${segment.to - 1}`,
    segment.state,
    segment.nodeId === null ? '' : segment.nodeId.slice(0, 12),
    segment.audited ? 'audited' : '',
    segment.reason ?? '',
  ])
  return table([['segment', 'rows', 'state', 'node', 'audit', 'reason'].map(style.faint), ...rows])
}

function eventsCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('events', {
      summary: 'follow what happens to a job',
      description: 'Prints the events of a job from its first on, until it ends. Also as `assay job logs`.',
      examples: [['follow it', 'assay job events JOB']],
      exits: [[0, 'the job ended, accepted'], [1, 'it ended otherwise'], USAGE_EXIT],
    }),
  )
    .alias('logs')
    .argument('<job>', 'its id')
    .action(
      perform<ConnectionOptions>(async (options, session, [id = '']) => {
        const client = await connect(options)
        const events: unknown[] = []
        for await (const event of client.jobEvents({ params: { id } }, { signal: session.signal })) {
          events.push(event)
          session.note(eventLine(event))
          if (isFinal((await client.showJob({ params: { id } })).state)) break
        }
        const job = await client.showJob({ params: { id } })
        return {
          exitCode: job.state === 'accepted' ? 0 : 1,
          json: { job: job as never, events: events as never },
          text: (style) => jobText(job, style),
        }
      }),
    )
}

function resultCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('result', {
      summary: 'fetch the rows of an accepted job',
      description:
        'Writes the encoded rows of an accepted job to a file (task/rows.ts: a count, then each row behind its ' +
        'length). `assay submit` writes them in the form of the work, too.',
      examples: [['fetch them', 'assay job result JOB --out rows.bin']],
      exits: [[0, 'written'], USAGE_EXIT],
    }),
  )
    .argument('<job>', 'its id')
    .requiredOption('--out <file>', 'where to')
    .action(
      perform<ConnectionOptions & { readonly out: string }>(async (options, { signal }, [id = '']) => {
        const bytes = await (await connect(options)).jobResult({ params: { id } }, { signal })
        await writeWhole(options.out, bytes)
        return written({ job: id, out: options.out, bytes: bytes.length })
      }),
    )
}

function receiptCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('receipt', {
      summary: 'fetch the receipt of an accepted job',
      description:
        'Writes the receipt with what nodes and verifiers signed and its place in the transparency log. Check it ' +
        'with `assay verify FILE`, which needs no network.',
      examples: [['fetch it', 'assay job receipt JOB --out receipt.json']],
      exits: [[0, 'written'], USAGE_EXIT],
    }),
  )
    .argument('<job>', 'its id')
    .requiredOption('--out <file>', 'where to')
    .action(
      perform<ConnectionOptions & { readonly out: string }>(async (options, { signal }, [id = '']) => {
        const text = toJsonText(await (await connect(options)).jobReceipt({ params: { id } }, { signal }))
        await writeWhole(options.out, text)
        return written({ job: id, out: options.out, bytes: text.length })
      }),
    )
}

function written(parts: { readonly job: string; readonly out: string; readonly bytes: number }): Outcome {
  return { exitCode: 0, json: parts, text: () => `${formatCount(parts.bytes)} bytes are in ${parts.out}` }
}

function cancelCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('cancel', {
      summary: 'cancel a job',
      description: 'Cancels a job. Segments that were accepted are paid, the rest of the budget comes back.',
      examples: [['cancel it', 'assay job cancel JOB']],
      exits: [[0, 'cancelled'], USAGE_EXIT],
    }),
  )
    .argument('<job>', 'its id')
    .action(
      perform<ConnectionOptions>(async (options, { signal }, [id = '']) => {
        const job = await (await connect(options)).cancelJob({ params: { id }, body: {} }, { signal })
        return { exitCode: 0, json: { job: job as never }, text: (style) => jobText(job, style) }
      }),
    )
}
