/**
 * `assay open`: the third of four steps. The prover opens the tensors of the nodes that were drawn.
 */
import { AssayError } from 'assay/core/errors'
import { encodeOpenings } from 'assay/method/trace/proof'
import { openTensors } from 'assay/method/trace/prover'
import { positionsOf } from 'assay/method/trace/verifier'
import { openGraph } from 'assay/onnx/graph'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { writeWhole } from './files.ts'
import { readModel } from './onnx-job.ts'
import { formatBytes, formatCount } from './style.ts'
import { fileStore, readChallenge, readManifest } from './trace-folder.ts'

interface Options {
  readonly model: string
  readonly out: string
}

export const traceOpenCommand: AddCommand = (perform) =>
  describedCommand('open', {
    summary: 'open what a challenge asks of a trace: step 3 of 4',
    description:
      'Reads the tensors that the drawn nodes read and gave, and writes them with their Merkle proof.',
    examples: [
      ['answer a challenge', 'assay open run/trace challenge.json --model m.onnx --out openings.cbor'],
    ],
    exits: [[0, 'opened'], USAGE_EXIT],
  })
    .argument('<trace>', 'the folder that `assay trace` wrote, with its tensors')
    .argument('<challenge>', 'the file that `assay challenge` wrote')
    .requiredOption('--model <file>', 'the ONNX model')
    .requiredOption('--out <file>', 'where to write the openings')
    .action(perform(open))

async function open(
  options: Options,
  _session: Session,
  [folder, path]: readonly string[],
): Promise<Outcome> {
  const graph = openGraph(await readModel(options.model))
  const challenge = await readChallenge(path as string)
  const beyond = challenge.nodes.find((node) => node >= graph.nodes.length)
  if (beyond !== undefined) {
    throw new AssayError(
      'run/other-request',
      `the challenge asks for node ${beyond} of a model with ${graph.nodes.length}`,
    )
  }
  const positions = positionsOf(graph, challenge.nodes)
  const manifest = await readManifest(folder as string)
  const bytes = encodeOpenings(await openTensors(manifest, positions, fileStore(folder as string)))
  await writeWhole(options.out, bytes)
  const figures = {
    openings: options.out,
    nodes: challenge.nodes.length,
    tensors: positions.length,
    sizeBytes: bytes.length,
  }
  return {
    exitCode: 0,
    json: figures,
    text: (style) =>
      `${style.good('✔')} ${formatCount(figures.tensors)} tensors of ${formatCount(figures.nodes)} nodes opened: ${options.out}, ${formatBytes(bytes.length)}`,
  }
}
