/**
 * The folder that holds one run: what was asked, and what the solver answered.
 *
 *     request.json      the requester's: request id, nonce, false positive rate, and what was to run
 *     output.npz        the solver's output, one array for each output of the model
 *     proof.json        SolverProof, with the field names of SPEX
 *     commitment.json   the solver's signed Proof-of-Execution v2 over request, task, input, output and proof
 *     receipt.json      the verifier's, once it looked
 *
 * Threat: all of it but the receipt comes from the solver, request.json included, of which nothing is believed
 * that the verifier did not ask for (see verify.ts). What cannot be read is a rejection, not a failure.
 */
import { join } from 'node:path'
import { fromHex, toHex } from 'assay/core/bytes'
import { parseWith } from 'assay/core/codec'
import { AssayError, reject, type Verdict } from 'assay/core/errors'
import type { Job } from 'assay/core/poe'
import { executionFromJson, executionToJson, type SignedExecution } from 'assay/core/poe'
import { MAX_PROOF_TEXT, parseSolverProof, type SolverProof } from 'assay/method/sampling/messages'
import type { Solution } from 'assay/method/sampling/prover'
import { MAX_INPUT_BYTES } from 'assay/onnx/limits'
import { decodeNpz, encodeNpz } from 'assay/onnx/npz'
import type { NamedTensors } from 'assay/state/tensors'
import * as z from 'zod/mini'
import { isFolder, readCapped, readJson, toJsonText, writeWhole } from './files.ts'

export const RUN_FILES = {
  request: 'request.json',
  output: 'output.npz',
  proof: 'proof.json',
  commitment: 'commitment.json',
  receipt: 'receipt.json',
} as const

/** Its few fields take less than 1 kB. */
const MAX_REQUEST_BYTES = 16_384
/** An RSA key and signature in hexadecimal and base64 take less than 3 kB. */
const MAX_COMMITMENT_BYTES = 16_384
/** The proof's text, and its fields around it. */
const MAX_PROOF_FILE_BYTES = MAX_PROOF_TEXT + 1024

const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits'))

const requestSchema = z.strictObject({
  format: z.literal('assay/run-request'),
  version: z.literal(1),
  requestId: hex32,
  nonce: hex32,
  falsePositiveRate: z.number().check(z.gt(0), z.lt(1)),
  /** Content address of the model. */
  model: z.string().check(z.maxLength(128)),
  inputDigest: hex32,
  runtime: z.enum(['wasm', 'native']),
  runtimeVersion: z.string().check(z.maxLength(64)),
  batch: z.enum(['first-axis', 'whole']),
  tolerance: z.nullable(z.number().check(z.gt(0))),
})

export type RunRequest = z.infer<typeof requestSchema>

export interface RunAnswer {
  readonly output: NamedTensors
  readonly proof: SolverProof
  readonly commitment: SignedExecution
}

export function jobOf({ requestId, nonce }: Pick<RunRequest, 'requestId' | 'nonce'>): Job {
  return { requestId: fromHex(requestId), nonce: fromHex(nonce) }
}

export function runRequestOf(
  parts: Omit<RunRequest, 'format' | 'version' | 'requestId' | 'nonce'> & Job,
): RunRequest {
  const { requestId, nonce, ...rest } = parts
  return {
    format: 'assay/run-request',
    version: 1,
    requestId: toHex(requestId),
    nonce: toHex(nonce),
    ...rest,
  }
}

export async function writeRun(
  folder: string,
  {
    request,
    solution,
  }: { readonly request: RunRequest; readonly solution: Solution<NamedTensors, NamedTensors> },
): Promise<void> {
  const { response, commitment } = solution
  await writeWhole(join(folder, RUN_FILES.request), toJsonText(request))
  await writeWhole(join(folder, RUN_FILES.output), encodeNpz(response.solverOutput))
  await writeWhole(join(folder, RUN_FILES.proof), toJsonText(response.solverProof))
  await writeWhole(join(folder, RUN_FILES.commitment), toJsonText(executionToJson(commitment)))
}

/** Throws `cli/file-missing` for what is no run folder, and `cli/file-malformed`. */
export async function readRunRequest(folder: string): Promise<RunRequest> {
  if (!(await isFolder(folder))) {
    throw new AssayError(
      'cli/file-missing',
      `expected the folder of a run at ${folder}, as \`assay solve\` writes it; there is none`,
      { detail: { path: folder } },
    )
  }
  const path = join(folder, RUN_FILES.request)
  const value = await readJson(path, { maxBytes: MAX_REQUEST_BYTES, what: 'the request of the run' })
  try {
    return parseWith(requestSchema, value, path)
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError('cli/file-malformed', error.message, { detail: error.detail, cause: error })
  }
}

/** What the solver answered, or why it cannot be read. */
export async function readRunAnswer(folder: string): Promise<Verdict<RunAnswer>> {
  const commitment = await readPart(folder, RUN_FILES.commitment, async (path) =>
    executionFromJson(await readJson(path, { maxBytes: MAX_COMMITMENT_BYTES, what: 'the commitment' })),
  )
  if (!commitment.ok) return commitment
  const proof = await readPart(folder, RUN_FILES.proof, async (path) =>
    parseSolverProof(await readJson(path, { maxBytes: MAX_PROOF_FILE_BYTES, what: 'the proof' })),
  )
  if (!proof.ok) return proof
  const output = await readPart(folder, RUN_FILES.output, async (path) =>
    decodeNpz(await readCapped(path, { maxBytes: MAX_INPUT_BYTES, what: 'the output' })),
  )
  if (!output.ok) return output
  return { ok: true, value: { commitment: commitment.value, proof: proof.value, output: output.value } }
}

async function readPart<T>(
  folder: string,
  name: string,
  read: (path: string) => Promise<T>,
): Promise<Verdict<T>> {
  try {
    return { ok: true, value: await read(join(folder, name)) }
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    const missing = error.code === 'cli/file-missing'
    return reject(missing ? 'run/incomplete' : 'run/malformed', `${name}: ${error.message}`, {
      ...error.detail,
      cause: error.code,
    })
  }
}
