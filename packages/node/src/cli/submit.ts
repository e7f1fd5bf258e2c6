/**
 * `assay submit`: runs a job on a network of machines that nobody trusts, waits for it, fetches result and receipt, and
 * checks both here.
 */
import { join } from 'node:path'
import { encodeRows } from 'assay/task/rows'
import { addressOf } from 'assay/wire/blob-transfer'
import { createClient } from 'assay/wire/client'
import type { JobSpecInput, JobView } from 'assay/wire/job'
import { fetchReceipt, fetchResult, submitJob, verifyJob, waitForJob } from 'assay/wire/submit'
import { Command, Option } from 'commander'
import { countFrom, shareIn } from './arguments.ts'
import {
  type AddCommand,
  describedCommand,
  type Outcome,
  type Perform,
  type Session,
  USAGE_EXIT,
} from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connectionOf } from './connection.ts'
import { eventLine } from './event-text.ts'
import { toJsonText, writeWhole } from './files.ts'
import { jobText } from './job.ts'
import { addOnnxOptions, type OnnxOptions } from './onnx-job.ts'
import { formatCount, formatDuration, type Style, table } from './style.ts'
import {
  type ChatOptions,
  chatWorkOf,
  type NetworkWork,
  onnxWorkOf,
  type WasmOptions,
  wasmWorkOf,
} from './submit-work.ts'

export const submitCommand: AddCommand = (perform) =>
  new Command('submit')
    .summary('run a job on a network, and check what comes back')
    .description(
      'Uploads what the network lacks, submits the job, shows its progress, fetches result and receipt, and checks ' +
        'both on this machine.',
    )
    .addCommand(submitOnnx(perform))
    .addCommand(submitWasm(perform))
    .addCommand(submitChat(perform))

interface SubmitOptions extends ConnectionOptions {
  readonly out?: string
  readonly name?: string
  readonly segmentRows: number
  readonly price: number
  readonly budget?: number
  readonly priority: number
  readonly deadline: number
  readonly sampling?: number
  readonly confidence: number
  readonly faked: number
  readonly redundancy?: number
  readonly wait: boolean
  readonly signer?: string
}

const EXITS = [
  [0, 'accepted, and everything that came back holds (with --no-wait: submitted)'],
  [1, 'the job ended otherwise, or its receipt or result does not hold'],
  USAGE_EXIT,
] as const

function addSubmitOptions(command: Command): Command {
  return addConnectionOptions(command)
    .option('--out <folder>', 'where result and receipt go (default: run/JOB)')
    .option('--name <text>', 'a name for people')
    .option('--segment-rows <n>', 'rows of one segment: what a node does at once', countFrom(1), 32)
    .option('--price <credits>', 'for each accepted run of a segment', countFrom(0), 1)
    .option(
      '--budget <credits>',
      'the most that it may cost (default: what the policy can come to)',
      countFrom(0),
    )
    .option('--priority <0-9>', 'higher goes first', countFrom(0), 5)
    .option('--deadline <seconds>', 'the job expires then', countFrom(1), 3600)
    .option(
      '--sampling <share>',
      'share of the segments whose rows the verifier samples (SPEX)',
      shareIn('from 0'),
    )
    .option('--confidence <c>', 'with which a sampled segment is caught', shareIn('above 0, below 1'), 0.99)
    .option(
      '--faked <share>',
      'smallest share of made-up rows that is worth catching',
      shareIn('above 0'),
      0.1,
    )
    .option('--redundancy <share>', 'share of the segments that runs again elsewhere', shareIn('from 0'))
    .option('--signer <node id>', 'the coordinator whose receipt it must be')
    .option('--no-wait', 'submit, print the job, and end')
}

function submitOnnx(perform: Perform): Command {
  return addSubmitOptions(
    addOnnxOptions(
      describedCommand('onnx', {
        summary: 'a batch over an ONNX model',
        description: 'Runs a model over the rows of an input. Outputs come back as one .npy file each.',
        examples: [
          [
            'the digits, each fifth segment run twice, rows of every segment sampled',
            'assay submit onnx --model examples/digits/model.onnx --input examples/digits/images.npy --redundancy 0.2 --sampling 1',
          ],
        ],
        exits: EXITS,
      }),
    ),
  ).action(
    perform<SubmitOptions & OnnxOptions>(async (options, session) =>
      submit(await onnxWorkOf(options), options, session),
    ),
  )
}

function submitWasm(perform: Perform): Command {
  return addSubmitOptions(
    describedCommand('wasm', {
      summary: 'a pure function, compiled to WebAssembly, over records',
      description:
        'Runs a module over the records of a file. examples/wasm says what a module exports, and has one in C. ' +
        'Outputs come back as outputs.ndjson, a line a record.',
      examples: [
        [
          'each line of a file is a record',
          'assay submit wasm --module examples/wasm/words.wasm --records README.md --redundancy 0.1',
        ],
      ],
      exits: EXITS,
    }),
  )
    .requiredOption('--module <file>', 'the WebAssembly module')
    .requiredOption('--records <file>', 'the records')
    .addOption(
      new Option('--split <how>', 'one record a line, or the whole file')
        .choices(['lines', 'whole'])
        .default('lines'),
    )
    .option('--memory <pages>', 'most memory of the module, in pages of 64 KiB', countFrom(1), 256)
    .option('--time-limit <ms>', 'for one record', countFrom(1), 5000)
    .option('--max-output <bytes>', 'of one record', countFrom(0), 65_536)
    .action(
      perform<SubmitOptions & WasmOptions>(async (options, session) =>
        submit(await wasmWorkOf(options), options, session),
      ),
    )
}

function submitChat(perform: Perform): Command {
  return addSubmitOptions(
    describedCommand('chat', {
      summary: 'prompts for a language model beside the nodes',
      description:
        'Asks a model that nodes serve through an OpenAI-compatible or Ollama endpoint, a prompt a line.',
      examples: [['plans of calls', 'assay submit chat --model llama3 --prompts prompts.txt --compare plan']],
      exits: EXITS,
    }),
  )
    .requiredOption('--model <name>', 'as the nodes know it')
    .requiredOption('--prompts <file>', 'one prompt a line')
    .option('--system <file>', 'the system prompt')
    .option('--temperature <t>', 'of the sampling', Number, 0)
    .option('--seed <n>', 'of the sampling', countFrom(0), 1)
    .option('--max-tokens <n>', 'of one answer', countFrom(1), 512)
    .addOption(
      new Option('--compare <how>', 'how answers are compared').choices(['text', 'plan']).default('text'),
    )
    .action(
      perform<SubmitOptions & ChatOptions>(async (options, session) =>
        submit(await chatWorkOf(options), options, session),
      ),
    )
}

/** The coordinator asks that a budget covers three runs of each segment where runs are repeated. */
const RUNS_WITH_REDUNDANCY = 3

function draftOf(given: NetworkWork, options: SubmitOptions): Omit<JobSpecInput, 'input'> {
  const { segmentRows, price, sampling, redundancy } = options
  const segments = Math.ceil(given.rows / segmentRows)
  return {
    name: options.name ?? given.name,
    work: given.work,
    rows: given.rows,
    segmentRows,
    validation: {
      ...(sampling === undefined
        ? {}
        : { sampling: { share: sampling, confidence: options.confidence, fakedShare: options.faked } }),
      ...(redundancy === undefined ? {} : { redundancy: { share: redundancy } }),
    },
    pricePerSegment: price,
    budget: options.budget ?? segments * price * (redundancy === undefined ? 1 : RUNS_WITH_REDUNDANCY),
    priority: options.priority,
    deadlineSeconds: options.deadline,
  }
}

async function submit(given: NetworkWork, options: SubmitOptions, session: Session): Promise<Outcome> {
  const connection = await connectionOf(options)
  const client = createClient(connection)
  const { signal } = session
  const started = performance.now()
  const job = await submitJob(client, draftOf(given, options), {
    input: given.input,
    content: given.content,
    signal,
    onProgress: ({ sentBytes, sizeBytes }) => session.progress('uploading', sentBytes, sizeBytes),
  })
  if (!options.wait) return { exitCode: 0, json: { job: job as never }, text: (style) => jobText(job, style) }
  session.note(`Job ${job.id}: ${formatCount(job.segments.total)} segments.`)
  const ended = await waitWithProgress(client, job, session)
  if (ended.state !== 'accepted') {
    return { exitCode: 1, json: { job: ended as never }, text: (style) => jobText(ended, style) }
  }
  const rows = await fetchResult(client, job.id, { signal })
  const receipt = await fetchReceipt(client, job.id, { signal })
  const signer = options.signer ?? connection.coordinator
  const verdict = await verifyJob(receipt, {
    job,
    inputCid: await addressOf(given.input),
    rows,
    ...(signer === undefined ? {} : { signer }),
  })
  const out = options.out ?? join('run', job.id)
  const files = {
    ...given.describe(rows),
    'rows.bin': encodeRows(rows),
    'input.bin': given.input,
    'receipt.json': toJsonText(receipt),
    // What was agreed is of before the job ran.
    'job.json': toJsonText({ ...ended, spec: job.spec, seedCommitment: job.seedCommitment }),
  }
  for (const [name, data] of Object.entries(files)) await writeWhole(join(out, name), data)
  const elapsedMs = performance.now() - started
  return {
    exitCode: verdict.ok ? 0 : 1,
    json: {
      job: ended as never,
      out,
      files: Object.keys(files),
      receipt: verdict.ok
        ? { isValid: true, checked: verdict.value.checked, signer: verdict.value.coordinator }
        : { isValid: false, code: verdict.code, message: verdict.message },
      elapsedMs,
    },
    text: (style) =>
      [
        jobText(ended, style),
        '',
        table([
          ['took', formatDuration(elapsedMs)],
          ['files', `${Object.keys(files).join(', ')} in ${out}`],
          ['receipt', receiptLine(verdict, style)],
        ]),
      ].join('\n'),
  }
}

function receiptLine(verdict: Awaited<ReturnType<typeof verifyJob>>, style: Style): string {
  if (!verdict.ok) return `${style.bad('✘')} ${verdict.code}: ${verdict.message}`
  const { executions, verdicts, outputs } = verdict.value.checked
  return (
    `${style.good('✔')} checked here: ${formatCount(executions)} signed executions, ${formatCount(verdicts)} ` +
    `verdicts of verifiers, ${formatCount(outputs)} outputs`
  )
}

async function waitWithProgress(
  client: ReturnType<typeof createClient>,
  job: JobView,
  { signal, progress, note }: Session,
): Promise<JobView> {
  const stop = new AbortController()
  const watch = (async () => {
    while (!stop.signal.aborted) {
      const { segments } = await client.showJob({ params: { id: job.id } }, { signal })
      progress('segments', segments.accepted, segments.total)
      await new Promise((resolve) => setTimeout(resolve, 300))
    }
  })().catch(() => undefined)
  try {
    return await waitForJob(client, job.id, {
      until: 'receipt',
      signal,
      onEvent: (event) => {
        if (WORTH_TELLING.test(event.type)) note(eventLine(event))
      },
    })
  } finally {
    stop.abort()
    await watch
  }
}

/** What went wrong and what was done about it; the rest is in `assay job events`. */
const WORTH_TELLING = /fault|disagree|majority|scatter|reject|poison|requeue|expire|fail/
