/**
 * `assay trace`: the first of four steps. Runs a model once, commits to every tensor of the run, and signs.
 */

import { toHex } from 'assay/core/bytes'
import { nodeId } from 'assay/core/keys'
import { commitTrace } from 'assay/method/trace/prover'
import { openHashThread } from '../hash-thread.ts'
import { hexOf } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { assertWritable } from './files.ts'
import { keyOf } from './key-store.ts'
import { randomBytes32 } from './randomness.ts'
import { formatCount, formatDuration, table } from './style.ts'
import { fileStore, traceRequestOf, writeTrace } from './trace-folder.ts'
import { addTraceOptions, openTraceJob, type TraceOptions } from './trace-job.ts'

interface Options extends TraceOptions {
  readonly out: string
  readonly key?: string
  readonly requestId?: Uint8Array
  readonly nonce?: Uint8Array
}

export const traceCommand: AddCommand = (perform) =>
  addTraceOptions(
    describedCommand('trace', {
      summary: 'run a model and commit to every tensor: step 1 of 4',
      description:
        'Runs the model once over the whole input, commits to every tensor of the run under one signed root, and ' +
        'writes a folder. Hand over all of it but tensors/, which you keep to answer challenges. The other steps: ' +
        '`assay challenge` (verifier), `assay open` (you), `assay check` (verifier).',
      examples: [
        [
          'commit to a run of the digits model',
          'assay trace --model examples/digits/model.onnx --input examples/digits/images.npy --out run/trace',
        ],
      ],
      exits: [[0, 'committed'], USAGE_EXIT],
    }),
  )
    .requiredOption('--out <folder>', 'where to write the trace')
    .option('--key <file>', 'key to sign with (default: the key of this machine, see `assay key`)')
    .option('--request-id <hex>', '32 bytes that name the request (default: drawn)', hexOf(32))
    .option('--nonce <hex>', '32 bytes that the requester drew for this run (default: drawn here)', hexOf(32))
    .action(perform(trace))

async function trace(options: Options, session: Session): Promise<Outcome> {
  await assertWritable(options.out)
  const key = await keyOf(options.key, session.note)
  const { graph, inputs, runtime } = await openTraceJob(options)
  const job = { requestId: options.requestId ?? randomBytes32(), nonce: options.nonce ?? randomBytes32() }
  const started = performance.now()
  const store = fileStore(options.out)
  let elements = 0
  // It starts while the model runs.
  const thread = openHashThread()
  const response = await commitTrace(
    graph,
    { runtime, inputs },
    {
      job,
      key,
      hasher: thread.hasher,
      store: {
        get: store.get,
        put(position, tensor) {
          session.signal.throwIfAborted()
          elements += tensor.data.length
          return store.put(position, tensor)
        },
      },
      onProgress: (done, total) => session.progress('tracing', done, total),
    },
  ).finally(thread.close)
  const traceMs = performance.now() - started
  const request = traceRequestOf(job, {
    model: graph.model.cid,
    runtime: runtime.name,
    runtimeVersion: runtime.version,
  })
  await writeTrace(options.out, { request, response })
  const figures = {
    trace: options.out,
    model: graph.model.cid,
    solver: nodeId(key.publicKey),
    requestId: toHex(job.requestId),
    nonce: toHex(job.nonce),
    nodes: graph.nodes.length,
    tensors: response.manifest.length,
    traceMs,
  }
  return {
    exitCode: 0,
    json: figures,
    text: (style) =>
      [
        `${style.good('✔')} ${formatCount(figures.tensors)} tensors of ${formatCount(figures.nodes)} nodes committed in ${formatDuration(traceMs)}`,
        table([
          ['trace', options.out],
          ['elements', formatCount(elements)],
          ['solver', figures.solver],
        ]),
        '',
        style.faint('Hand the folder over, without tensors/. Its receiver goes on with:'),
        `  npx assay challenge ${options.out} --model ${options.model} --input ${options.input.join(' --input ')} --out challenge.json`,
      ].join('\n'),
  }
}
