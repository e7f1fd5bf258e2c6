/** For tests: the byte-level language model of examples/byte-lm, and requests to it. */
import { readFileSync } from 'node:fs'
import { utf8 } from '../../../core/bytes.ts'
import { loadModel } from '../../../onnx/model.ts'
import { nativeRuntime } from '../../../onnx/runtime-native.ts'
import { type GenerationRequest, generationRequest } from '../config.ts'
import { type Decoder, openDecoder } from '../decoder.ts'
import type { TokenRule } from '../token-rule.ts'

const FOLDER = new URL('../../../../../../examples/byte-lm/', import.meta.url)

export const modelBytes = (): Uint8Array => new Uint8Array(readFileSync(new URL('model.onnx', FOLDER)))
export const SAMPLE = { kind: 'sample', temperature: 1, topk: null } as const satisfies TokenRule
export const GREEDY: TokenRule = { kind: 'greedy' }

export async function openByteLm(): Promise<Decoder> {
  return openDecoder(loadModel(modelBytes()), await nativeRuntime())
}

export function requestTo(decoder: Decoder, changes: Partial<GenerationRequest> = {}): GenerationRequest {
  return generationRequest({
    model: decoder.model.cid,
    prompt: [...utf8('She was convinced that she could have been happy with him')],
    rule: SAMPLE,
    seed: new Uint8Array(32).fill(5),
    maxTokens: 70,
    ...changes,
  })
}
