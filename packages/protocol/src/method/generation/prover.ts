/**
 * The solver: generates token by token with a cache, keeps the hidden states, fingerprints them, signs.
 */
import { type KeyPair, nodeId } from '../../core/keys.ts'
import { type Job, type SignedExecution, signExecution } from '../../core/poe.ts'
import { chunksOf } from './chunks.ts'
import type { GenerationRequest } from './config.ts'
import type { Decoder } from './decoder.ts'
import { type GenerationResult, generationFields } from './proof.ts'
import { assertServes } from './serves.ts'
import { chooseToken, uniformNumbers } from './token-rule.ts'
import { encodeFingerprint, fingerprint } from './toploc.ts'

export interface GenerateOptions {
  readonly signal?: AbortSignal
  /** Called with each token as it is chosen. */
  readonly onToken?: (token: number) => void
}

/**
 * Runs the request. The text is `result.tokens`; nothing of it is decoded here.
 *
 * @throws AssayError `generation/request`, `generation/model` where the decoder is another model or gives no
 * hidden state to fingerprint, `generation/tokens` for a prompt outside the vocabulary, and what runtime and
 * fingerprint throw.
 */
export async function generate(
  decoder: Decoder,
  request: GenerationRequest,
  options: GenerateOptions = {},
): Promise<GenerationResult> {
  assertServes(decoder, request)
  const { rule, seed, maxTokens, stop } = request
  const uniforms = seed === null ? () => 0 : uniformNumbers(seed)
  const tokens: number[] = []
  const hidden: Float32Array[] = []
  let step = await decoder.run(request.prompt, decoder.empty)
  for (;;) {
    options.signal?.throwIfAborted()
    if (step.hidden) hidden.push(step.hidden)
    const token = chooseToken(step.logits.subarray(-decoder.vocabulary), { rule, uniform: uniforms() })
    tokens.push(token)
    options.onToken?.(token)
    if (tokens.length === maxTokens || stop.includes(token)) break
    step = await decoder.run([token], step.cache)
  }
  return { tokens, fingerprints: fingerprintsOf(decoder, request, { tokens: tokens.length, hidden }) }
}

export interface ProveOptions extends GenerateOptions {
  readonly job: Job
  readonly key: KeyPair
}

/** `generate`, and the signed commitment to what came out. */
export async function proveGeneration(
  decoder: Decoder,
  request: GenerationRequest,
  options: ProveOptions,
): Promise<{ readonly result: GenerationResult; readonly commitment: SignedExecution }> {
  const result = await generate(decoder, request, options)
  return { result, commitment: await signGeneration(request, { ...options, result }) }
}

export function signGeneration(
  request: GenerationRequest,
  { result, job, key }: { readonly result: GenerationResult; readonly job: Job; readonly key: KeyPair },
): Promise<SignedExecution> {
  return signExecution({ ...generationFields(request, { result, job }), nodeId: nodeId(key.publicKey) }, key)
}

/** Hidden states as they came, a step each, to fingerprints. */
function fingerprintsOf(
  { width }: Decoder,
  request: GenerationRequest,
  { tokens, hidden }: { readonly tokens: number; readonly hidden: readonly Float32Array[] },
): Uint8Array[] {
  if (width === null) return []
  const all = new Float32Array((request.prompt.length + tokens - 1) * width)
  let offset = 0
  for (const part of hidden) {
    all.set(part, offset)
    offset += part.length
  }
  return chunksOf(request, { tokens, width }).map(({ from, to, topk }) =>
    encodeFingerprint(fingerprint(all.subarray(from * width, to * width), { topk, ties: 'lowest-index' })),
  )
}
