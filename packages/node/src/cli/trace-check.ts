/**
 * `assay check`: the last of four steps. Runs the drawn nodes again, each on its own, and says what it found.
 */

import { AssayError, attempt } from 'assay/core/errors'
import { agreeWithin, assertProfileFits } from 'assay/method/trace/calibration/profile'
import { decodeOpenings } from 'assay/method/trace/proof'
import {
  type CheckOptions,
  challengeTrace,
  checkOpenings,
  type TraceEvidence,
} from 'assay/method/trace/verifier'
import { verifyProfile } from 'assay/receipt/calibration'
import type { Tensor } from 'assay/state/tensor'
import { equalTensors } from 'assay/state/tensor'
import { hashChunksNatively } from '../hash-chunks.ts'
import { finitePositive } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { readCapped, readJson } from './files.ts'
import { openRuntime, RUNTIMES } from './onnx-runtime.ts'
import { formatCount, formatDuration } from './style.ts'
import { readChallenge } from './trace-folder.ts'
import {
  addTraceOptions,
  openTraceFolder,
  openTraceJob,
  seedOfChallenge,
  type TraceJob,
  type TraceOptions,
} from './trace-job.ts'

interface Options extends TraceOptions {
  readonly tolerance?: number
  readonly profile?: string
}

/** A profile names some hundred layers; see MAX_PROFILE_BYTES of the library. */
const MAX_PROFILE_FILE_BYTES = 2 ** 24

const MAX_OPENINGS_BYTES = 2 ** 30

export const traceCheckCommand: AddCommand = (perform) =>
  addTraceOptions(
    describedCommand('check', {
      summary: 'run the opened nodes of a trace again: step 4 of 4',
      description:
        'Derives the challenge again, checks the openings against the signed root, runs each drawn node on its ' +
        'committed inputs, and compares: bit for bit, or within --tolerance or a measured --profile for provers ' +
        'whose floats differ from yours.',
      examples: [
        ['the last step', 'assay check run/trace challenge.json openings.cbor --model m.onnx --input x.npy'],
      ],
      exits: [[0, 'every drawn node follows'], [1, 'rejected; the evidence names the node'], USAGE_EXIT],
    }),
  )
    .argument('<trace>', 'the folder that `assay trace` wrote')
    .argument('<challenge>', 'the file that `assay challenge` wrote')
    .argument('<openings>', 'the file that `assay open` wrote')
    .option('--tolerance <eps>', 'largest difference of a float between honest machines', finitePositive)
    .option(
      '--profile <file>',
      'tolerances that `assay calibrate` measured; nodes are run again on the runtime that it names as the verifier’s',
    )
    .action(perform(check))

async function check(
  options: Options,
  session: Session,
  [folder, challengePath, openingsPath]: readonly string[],
): Promise<Outcome> {
  const job = await openTraceJob(options)
  const challenge = await readChallenge(challengePath as string)
  const opened = await openTraceFolder(folder as string, job)
  if (!opened.ok) return verdict({ code: opened.code, message: opened.message }, { nodes: 0, checkMs: 0 })
  const { value } = opened
  const nodes = challengeTrace(value, { seed: seedOfChallenge(challenge, value), draws: challenge.draws })
  if (nodes.length !== challenge.nodes.length || nodes.some((node, i) => node !== challenge.nodes[i])) {
    throw new AssayError(
      'cli/file-malformed',
      `${challengePath}: its nodes are not those that its seed gives for this trace`,
    )
  }
  const bytes = await readCapped(openingsPath as string, {
    maxBytes: MAX_OPENINGS_BYTES,
    what: 'the openings',
  })
  const openings = attempt(() => decodeOpenings(bytes))
  if (!openings.ok)
    return verdict({ code: openings.code, message: openings.message }, { nodes: 0, checkMs: 0 })
  const started = performance.now()
  const evidence = await checkOpenings(
    job.graph,
    { traceRoot: value.traceRoot, nodes, openings: openings.value },
    { ...(await comparison(options, job)), signal: session.signal, hasher: hashChunksNatively },
  )
  return verdict(evidence, { nodes: nodes.length, checkMs: performance.now() - started })
}

/** What nodes are run again on, and when two tensors agree. */
async function comparison(
  { tolerance, profile: path }: Options,
  job: TraceJob,
): Promise<Pick<CheckOptions, 'runtime' | 'agree'>> {
  if (path === undefined) {
    return { runtime: job.runtime, agree: tolerance === undefined ? equalTensors : within(tolerance) }
  }
  if (tolerance !== undefined)
    throw new AssayError('cli/usage', '--tolerance and --profile exclude each other: give one')
  const verdict = await verifyProfile(
    await readJson(path, { maxBytes: MAX_PROFILE_FILE_BYTES, what: 'the calibration profile' }),
  )
  if (!verdict.ok)
    throw new AssayError('cli/file-malformed', `${path}: ${verdict.message}`, {
      detail: { cause: verdict.code },
    })
  const { profile } = verdict.value
  const name = RUNTIMES.find((known) => known === profile.verifier.runtime)
  if (name === undefined) {
    throw new AssayError(
      'cli/file-malformed',
      `${path}: its verifier runs ${profile.verifier.runtime}, expected ${RUNTIMES.join(' or ')}`,
    )
  }
  const runtime = await openRuntime(name)
  assertProfileFits(profile, { model: job.graph.model, runtime })
  return { runtime, agree: agreeWithin(profile) }
}

/** Floats within `tolerance` of each other; everything else exactly. */
function within(tolerance: number) {
  return (computed: Tensor, committed: Tensor): boolean => {
    if (!computed.dtype.startsWith('float') || computed.dtype === 'float16')
      return equalTensors(computed, committed)
    if (computed.dtype !== committed.dtype || String(computed.shape) !== String(committed.shape)) return false
    const ours = computed.data as Float32Array | Float64Array
    const theirs = committed.data as Float32Array | Float64Array
    return ours.every((x, i) => Object.is(x, theirs[i]) || Math.abs(x - (theirs[i] as number)) <= tolerance)
  }
}

type Finding = TraceEvidence | { readonly code: string; readonly message: string }

function verdict(evidence: Finding | null, { nodes, checkMs }: { nodes: number; checkMs: number }): Outcome {
  return {
    exitCode: evidence === null ? 0 : 1,
    json: {
      isVerified: evidence === null,
      nodes,
      checkMs,
      evidence: evidence === null ? null : { ...evidence },
    },
    text: (style) =>
      evidence === null
        ? `${style.good('✔')} ${formatCount(nodes)} nodes follow from what they read, checked in ${formatDuration(checkMs)}`
        : `${style.bad('✘')} rejected: ${evidence.code}: ${evidence.message}`,
  }
}
