/** Whether a decoder is the one that a request needs. */
import { AssayError } from '../../core/errors.ts'
import { assertRequest, type GenerationRequest } from './config.ts'
import { assertTokens, type Decoder } from './decoder.ts'

/** @throws AssayError `generation/request`, `generation/model`, `generation/tokens` for the prompt. */
export function assertServes(decoder: Decoder, request: GenerationRequest): void {
  assertRequest(request)
  if (decoder.model.cid !== request.model) {
    throw new AssayError(
      'generation/model',
      `the request is for model ${request.model}, the decoder has ${decoder.model.cid}`,
    )
  }
  if (request.fingerprintTopk !== null && decoder.width === null) {
    throw new AssayError(
      'generation/model',
      'the model gives no hidden state to fingerprint: ask for none (fingerprintTopk: null) or name its output',
    )
  }
  assertTokens(request.prompt, decoder.vocabulary)
}
