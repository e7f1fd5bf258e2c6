/**
 * Which hidden states belong to which fingerprint: the prompt's to the first, then those of 32 generated
 * tokens each, as published. The last token of an output is never run, so that it has none.
 */
import type { GenerationRequest } from './config.ts'
import { TOKENS_A_CHUNK } from './toploc.ts'

export interface Chunk {
  /** Positions of prompt and output, from … to - 1. */
  readonly from: number
  readonly to: number
  /** Values that its fingerprint binds. */
  readonly topk: number
}

/** The chunks of an output of `tokens` tokens (at least one), for a hidden state of `width` values. */
export function chunksOf(
  { prompt, fingerprintTopk }: Pick<GenerationRequest, 'prompt' | 'fingerprintTopk'>,
  { tokens, width }: { readonly tokens: number; readonly width: number },
): Chunk[] {
  if (fingerprintTopk === null) return []
  const end = prompt.length + tokens - 1
  const chunks: Chunk[] = []
  for (let from = 0; from < end; ) {
    const to = from === 0 ? prompt.length : Math.min(end, from + TOKENS_A_CHUNK)
    chunks.push({ from, to, topk: Math.min(fingerprintTopk, (to - from) * width) })
    from = to
  }
  return chunks
}
