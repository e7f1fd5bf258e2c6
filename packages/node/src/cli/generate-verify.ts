/**
 * `assay generate verify`: checks a text in one pass over it, with the verifier's own model, prompt and rule.
 *
 * Threat: the folder comes from the solver; see generate-folder.ts.
 */
import { equalBytes, toHex } from 'assay/core/bytes'
import { AssayError, type Rejection, reject } from 'assay/core/errors'
import { SEED_BYTES } from 'assay/core/sampling'
import {
  FLOAT32,
  type GenerationRequest,
  PUBLISHED,
  REPRODUCIBLE,
  type Thresholds,
} from 'assay/method/generation/config'
import type { Decoder } from 'assay/method/generation/decoder'
import { verifyGeneration } from 'assay/method/generation/verifier'
import { Option } from 'commander'
import { hexOf } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import {
  type GenerationFolder,
  readGenerationAnswer,
  readGenerationRequest,
  textOf,
} from './generate-folder.ts'
import {
  addGenerateOptions,
  addSeedOption,
  type GenerateOptions,
  openGenerateDecoder,
  requestOf,
} from './generate-job.ts'
import { outcomeOf } from './generate-verdict.ts'
import { checkSolverOption } from './verify-options.ts'

interface VerifyTextOptions extends GenerateOptions {
  readonly thresholds: keyof typeof THRESHOLDS
  readonly requestId?: Uint8Array
  readonly nonce?: Uint8Array
  readonly solver?: string
}

const THRESHOLDS = { reproducible: REPRODUCIBLE, float32: FLOAT32, published: PUBLISHED } as const

export const generateVerifyCommand: AddCommand = (perform) =>
  addSeedOption(
    addGenerateOptions(
      describedCommand('verify', {
        summary: 'check a text in one pass over it: the verifier’s half',
        description:
          'Runs your own model once over prompt and text, and asks of each token whether it is the one that model, ' +
          'rule and seed give, and of the hidden states whether they are those that the solver fingerprinted. Takes ' +
          'the same --model, --prompt, --tokens, --temperature, --top-k and --stop as the text was asked for with.',
        examples: [
          [
            'was this text made with this model',
            'assay generate verify run/ --model examples/byte-lm/model.onnx --prompt "It was a" --tokens 64',
          ],
          [
            'a sampled text, with the seed and the nonce that you drew',
            'assay generate verify run/ --model m.onnx --prompt "It was a" --tokens 64 --temperature 0.8 --seed HEX ' +
              '\\\n    --nonce HEX',
          ],
        ],
        exits: [[0, 'verified'], [1, 'rejected; the evidence says why'], USAGE_EXIT],
      }),
    ),
    'the seed that you drew; another one is rejected (default: the one that the solver states)',
  )
    .argument('<run>', 'the folder that `assay generate run` wrote')
    .addOption(
      new Option('--thresholds <name>', 'how much honest solvers may differ')
        .choices(Object.keys(THRESHOLDS))
        .default('float32'),
    )
    .option('--request-id <hex>', 'the request id that you gave out; another one is rejected', hexOf(32))
    .option('--nonce <hex>', 'the nonce that you drew; a text with another one is rejected', hexOf(32))
    .option('--solver <node id>', 'the solver that you expect; a text signed by another one is rejected')
    .action(perform(verifyText))

async function verifyText(
  options: VerifyTextOptions,
  _session: Session,
  [folder]: readonly string[],
): Promise<Outcome> {
  checkSolverOption(options.solver)
  const stated = await readGenerationRequest(folder as string)
  const decoder = await openGenerateDecoder(options)
  try {
    const isSampled = options.temperature !== undefined
    // Where the solver states none, the comparison of rules or seeds says so.
    const seed = isSampled ? (options.seed ?? stated.request.seed ?? new Uint8Array(SEED_BYTES)) : null
    const request = requestOf(options, { decoder, seed })
    checkRequest(stated.request, request)
    return await judge({ folder: folder as string, options, decoder, request, stated })
  } finally {
    await decoder.close()
  }
}

/** The verifier's model, prompt and rule must be those of the request; which side is wrong is for people to find out. */
function checkRequest(stated: GenerationRequest, own: GenerationRequest): void {
  const compared = [
    ['model', (request: GenerationRequest) => request.model],
    ['prompt', ({ prompt }: GenerationRequest) => [...prompt]],
    ['rule', ({ rule }: GenerationRequest) => ruleText(rule)],
    ['number of tokens', ({ maxTokens }: GenerationRequest) => maxTokens],
    ['list of stop tokens', ({ stop }: GenerationRequest) => [...stop]],
    ['size of a fingerprint', ({ fingerprintTopk }: GenerationRequest) => fingerprintTopk],
  ] as const
  for (const [what, read] of compared) {
    const [asked, given] = [JSON.stringify(read(stated)), JSON.stringify(read(own))]
    if (asked === given) continue
    const message = `the ${what} of the text is ${brief(asked)}, yours is ${brief(given)}`
    throw new AssayError('run/other-request', message, {
      detail: { what, asked: brief(asked), given: brief(given) },
    })
  }
}

function ruleText(rule: GenerationRequest['rule']): string {
  if (rule.kind === 'greedy') return 'greedy'
  return `temperature ${rule.temperature}, from ${rule.topk ?? 'all'} tokens`
}

function brief(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

interface Judged {
  readonly folder: string
  readonly options: VerifyTextOptions
  readonly decoder: Decoder
  readonly request: GenerationRequest
  readonly stated: GenerationFolder
}

async function judge({ folder, options, decoder, request, stated }: Judged): Promise<Outcome> {
  const answer = await readGenerationAnswer(folder, decoder.vocabulary)
  if (!answer.ok) return outcomeOf(answer, { verifyMs: 0 })
  const { result, commitment } = answer.value
  const { fields } = commitment
  const refusal =
    otherSeed(stated.request.seed, request.seed) ??
    otherJob(options, fields) ??
    (options.solver === undefined || options.solver === fields.nodeId
      ? null
      : reject(
          'run/other-solver',
          `expected a text signed by node ${options.solver}, got one by ${fields.nodeId}`,
        ))
  if (refusal !== null) return outcomeOf(refusal, { verifyMs: 0 })
  const thresholds: Thresholds = THRESHOLDS[options.thresholds]
  const started = performance.now()
  const verdict = await verifyGeneration(decoder, request, {
    result,
    commitment,
    job: stated.job,
    thresholds,
  })
  const verifyMs = performance.now() - started
  const text = textOf(result.tokens, decoder.vocabulary)
  return outcomeOf(verdict, {
    verifyMs,
    solver: fields.nodeId,
    fingerprints: result.fingerprints.length,
    seed: request.seed,
    isSeedOurs: request.seed === null || options.seed !== undefined,
    isNonceInsisted: options.nonce !== undefined,
    text: text === null ? null : new TextDecoder().decode(text),
  })
}

function otherSeed(stated: Uint8Array | null, own: Uint8Array | null): Rejection | null {
  if (own === null || (stated !== null && equalBytes(stated, own))) return null
  return reject('run/other-job', `expected a text from the seed ${toHex(own)}, got one from another`)
}

function otherJob(
  options: VerifyTextOptions,
  fields: { readonly requestId: Uint8Array; readonly nonce: Uint8Array },
): Rejection | null {
  for (const [what, named, found] of [
    ['nonce', options.nonce, fields.nonce],
    ['request id', options.requestId, fields.requestId],
  ] as const) {
    if (named === undefined || equalBytes(named, found)) continue
    return reject(
      'run/other-job',
      `expected a text with ${what} ${toHex(named)}, got one with ${toHex(found)}`,
    )
  }
  return null
}
