/**
 * The folder of a committed trace, and the two files that travel between prover and verifier afterwards.
 *
 *     request.json      request id, nonce, model and runtime
 *     output.npz        the output, one array for each output of the model
 *     manifest.cbor     name, type, shape and root of every tensor of the run
 *     commitment.json   the prover's signed Proof-of-Execution v2
 *     tensors/N.tensor  every tensor, by its position: the prover keeps these, and opens what it is asked for
 *
 * Threat: to the verifier all of it is hostile, and read with caps; tensors/ is never read by it.
 */
import { join } from 'node:path'
import { fromHex, toHex } from 'assay/core/bytes'
import { parseWith } from 'assay/core/codec'
import { AssayError } from 'assay/core/errors'
import { executionFromJson, executionToJson, type Job } from 'assay/core/poe'
import { type SeedSource, seedSourceSchema } from 'assay/core/seed'
import { manifestObject, type TraceResponse } from 'assay/method/trace/proof'
import type { TensorStore } from 'assay/method/trace/prover'
import { MAX_INPUT_BYTES } from 'assay/onnx/limits'
import { decodeNpz, encodeNpz } from 'assay/onnx/npz'
import { decodeTensor, encodeTensor } from 'assay/state/tensor'
import * as z from 'zod/mini'
import { isFile, readCapped, readJson, toJsonText, writeWhole } from './files.ts'

const FILES = {
  request: 'request.json',
  output: 'output.npz',
  manifest: 'manifest.cbor',
  commitment: 'commitment.json',
  tensors: 'tensors',
} as const

const MAX_SMALL_FILE_BYTES = 16_384
const MAX_MANIFEST_FILE_BYTES = 2 ** 24
/** A challenge names some nodes of a model. */
const MAX_CHALLENGE_BYTES = 2 ** 22

const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits'))

const requestSchema = z.strictObject({
  format: z.literal('assay/trace-request'),
  version: z.literal(1),
  requestId: hex32,
  nonce: hex32,
  model: z.string().check(z.maxLength(128)),
  runtime: z.enum(['wasm', 'native']),
  runtimeVersion: z.string().check(z.maxLength(64)),
})

export type TraceRequest = z.infer<typeof requestSchema>

const challengeSchema = z.strictObject({
  format: z.literal('assay/trace-challenge'),
  version: z.literal(1),
  seed: z.union([seedSourceSchema, z.strictObject({ kind: z.literal('transcript') })]),
  receivedAtSeconds: z.int(),
  draws: z.int().check(z.minimum(0)),
  nodes: z.array(z.int().check(z.minimum(0))),
})

export type TraceSeed = SeedSource | { readonly kind: 'transcript' }
export type TraceChallenge = z.infer<typeof challengeSchema>

export async function writeTrace(
  folder: string,
  { request, response }: { readonly request: TraceRequest; readonly response: TraceResponse },
): Promise<void> {
  await writeWhole(join(folder, FILES.request), toJsonText(request))
  await writeWhole(join(folder, FILES.output), encodeNpz(response.output))
  await writeWhole(join(folder, FILES.manifest), manifestObject.encode([...response.manifest]))
  await writeWhole(join(folder, FILES.commitment), toJsonText(executionToJson(response.commitment)))
}

export async function readTraceRequest(folder: string): Promise<TraceRequest & { readonly job: Job }> {
  const path = join(folder, FILES.request)
  const value = await readJson(path, { maxBytes: MAX_SMALL_FILE_BYTES, what: 'the request of the trace' })
  const request = named(path, () => parseWith(requestSchema, value, 'trace request'))
  return { ...request, job: { requestId: fromHex(request.requestId), nonce: fromHex(request.nonce) } }
}

export function traceRequestOf(
  job: Job,
  rest: Omit<TraceRequest, 'format' | 'version' | 'requestId' | 'nonce'>,
): TraceRequest {
  return {
    format: 'assay/trace-request',
    version: 1,
    requestId: toHex(job.requestId),
    nonce: toHex(job.nonce),
    ...rest,
  }
}

/** What the prover handed over. Throws typed errors, which are the prover's fault. */
export async function readTraceResponse(folder: string): Promise<TraceResponse> {
  const commitment = executionFromJson(
    await readJson(join(folder, FILES.commitment), {
      maxBytes: MAX_SMALL_FILE_BYTES,
      what: 'the commitment',
    }),
  )
  const manifest = manifestObject.decode(await readManifestBytes(folder))
  const output = decodeNpz(
    await readCapped(join(folder, FILES.output), { maxBytes: MAX_INPUT_BYTES, what: 'the output' }),
  )
  return { output, manifest, commitment }
}

export async function readManifest(folder: string): Promise<TraceResponse['manifest']> {
  return manifestObject.decode(await readManifestBytes(folder))
}

function readManifestBytes(folder: string): Promise<Uint8Array> {
  return readCapped(join(folder, FILES.manifest), { maxBytes: MAX_MANIFEST_FILE_BYTES, what: 'the manifest' })
}

/** Tensors as files, so that a trace need not fit into memory. */
export function fileStore(folder: string): TensorStore {
  const path = (position: number) => join(folder, FILES.tensors, `${position}.tensor`)
  return {
    put: (position, tensor) => writeWhole(path(position), encodeTensor(tensor)),
    async get(position) {
      if (!(await isFile(path(position)))) return undefined
      const bytes = await readCapped(path(position), {
        maxBytes: MAX_INPUT_BYTES,
        what: 'a tensor of the trace',
      })
      return decodeTensor(bytes, { maxBytes: MAX_INPUT_BYTES })
    },
  }
}

export async function writeChallenge(
  path: string,
  challenge: Omit<TraceChallenge, 'format' | 'version'>,
): Promise<void> {
  await writeWhole(path, toJsonText({ format: 'assay/trace-challenge', version: 1, ...challenge }))
}

export async function readChallenge(path: string): Promise<TraceChallenge> {
  const value = await readJson(path, { maxBytes: MAX_CHALLENGE_BYTES, what: 'the challenge' })
  return named(path, () => parseWith(challengeSchema, value, 'trace challenge'))
}

function named<T>(path: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError('cli/file-malformed', `${path}: ${error.message}`, {
      detail: error.detail,
      cause: error,
    })
  }
}
