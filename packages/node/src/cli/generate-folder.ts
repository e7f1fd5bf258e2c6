/**
 * The folder of a generated text: what was asked, and what the solver answered.
 *
 *     request.json      request id, nonce, and every field of the request
 *     text.txt          the text, where tokens are bytes
 *     result.cbor       tokens and fingerprints (method/generation/proof)
 *     commitment.json   the solver's signed Proof-of-Execution v2
 *
 * Threat: to the verifier all of it is hostile, and read with caps. Of request.json it believes the request id
 * and the nonce, and the seed where it drew none itself; all else is compared with its own options.
 */
import { join } from 'node:path'
import { equalBytes, fromHex, toHex } from 'assay/core/bytes'
import { parseWith } from 'assay/core/codec'
import { AssayError, reject, type Verdict } from 'assay/core/errors'
import { executionFromJson, executionToJson, type Job, type SignedExecution } from 'assay/core/poe'
import type { GenerationRequest } from 'assay/method/generation/config'
import { decodeGeneration, encodeGeneration, type GenerationResult } from 'assay/method/generation/proof'
import * as z from 'zod/mini'
import { isFile, readCapped, readJson, toJsonText, writeWhole } from './files.ts'

const GENERATION_FILES = {
  request: 'request.json',
  text: 'text.txt',
  result: 'result.cbor',
  commitment: 'commitment.json',
} as const

/** A prompt of 32,768 tokens with ten digits each, and the other fields. */
const MAX_REQUEST_BYTES = 2 ** 19
const MAX_COMMITMENT_BYTES = 16_384
/** 32,768 tokens and 1,025 fingerprints of the largest size take less. */
const MAX_RESULT_BYTES = 2 ** 24

const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits'))
const token = z.int().check(z.minimum(0), z.maximum(2 ** 32 - 1))

const requestSchema = z.strictObject({
  format: z.literal('assay/text-request'),
  version: z.literal(1),
  requestId: hex32,
  nonce: hex32,
  model: z.string().check(z.maxLength(128)),
  prompt: z.array(token),
  rule: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('greedy') }),
    z.strictObject({
      kind: z.literal('sample'),
      temperature: z.number(),
      topk: z.nullable(z.int()),
    }),
  ]),
  seed: z.nullable(hex32),
  maxTokens: z.int(),
  stop: z.array(token),
  fingerprintTopk: z.nullable(z.int()),
})

export interface GenerationFolder {
  readonly request: GenerationRequest
  readonly job: Job
}

export interface GenerationAnswer {
  readonly result: GenerationResult
  readonly commitment: SignedExecution
}

/** Bytes are the tokens of models with 256 of them; others come without text. */
export function textOf(tokens: readonly number[], vocabulary: number): Uint8Array | null {
  return vocabulary === 256 ? Uint8Array.from(tokens) : null
}

export async function writeGeneration(
  folder: string,
  {
    request,
    job,
    result,
    commitment,
    text,
  }: GenerationFolder & GenerationAnswer & { text: Uint8Array | null },
): Promise<void> {
  const { seed, ...rest } = request
  const stated = {
    format: 'assay/text-request',
    version: 1,
    requestId: toHex(job.requestId),
    nonce: toHex(job.nonce),
    ...rest,
    seed: seed === null ? null : toHex(seed),
  }
  await writeWhole(join(folder, GENERATION_FILES.request), toJsonText(stated))
  if (text !== null) await writeWhole(join(folder, GENERATION_FILES.text), text)
  await writeWhole(join(folder, GENERATION_FILES.result), encodeGeneration(result))
  await writeWhole(join(folder, GENERATION_FILES.commitment), toJsonText(executionToJson(commitment)))
}

/** Throws `cli/file-missing` and `cli/file-malformed`. */
export async function readGenerationRequest(folder: string): Promise<GenerationFolder> {
  const path = join(folder, GENERATION_FILES.request)
  const value = await readJson(path, { maxBytes: MAX_REQUEST_BYTES, what: 'the request of the text' })
  try {
    const { format: _, version: __, requestId, nonce, seed, ...rest } = parseWith(requestSchema, value, path)
    return {
      job: { requestId: fromHex(requestId), nonce: fromHex(nonce) },
      request: {
        ...rest,
        model: rest.model as GenerationRequest['model'],
        seed: seed === null ? null : fromHex(seed),
      },
    }
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError('cli/file-malformed', error.message, { detail: error.detail, cause: error })
  }
}

/** What the solver answered, or why it cannot be read. A text that is not that of the tokens is refused. */
export async function readGenerationAnswer(
  folder: string,
  vocabulary: number,
): Promise<Verdict<GenerationAnswer>> {
  try {
    const commitment = executionFromJson(
      await readJson(join(folder, GENERATION_FILES.commitment), {
        maxBytes: MAX_COMMITMENT_BYTES,
        what: 'the commitment',
      }),
    )
    const encoded = await readCapped(join(folder, GENERATION_FILES.result), {
      maxBytes: MAX_RESULT_BYTES,
      what: 'the result',
    })
    const result = decodeGeneration(encoded)
    if (!(await isTextOf(folder, textOf(result.tokens, vocabulary)))) {
      return reject(
        'run/malformed',
        `${GENERATION_FILES.text} is not the text of the tokens that were signed`,
      )
    }
    return { ok: true, value: { result, commitment } }
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    const isMissing = error.code === 'cli/file-missing'
    return reject(isMissing ? 'run/incomplete' : 'run/malformed', error.message, {
      ...error.detail,
      cause: error.code,
    })
  }
}

async function isTextOf(folder: string, expected: Uint8Array | null): Promise<boolean> {
  const path = join(folder, GENERATION_FILES.text)
  if (expected === null || !(await isFile(path))) return true
  return equalBytes(await readCapped(path, { maxBytes: MAX_REQUEST_BYTES, what: 'the text' }), expected)
}
