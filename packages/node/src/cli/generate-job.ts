/**
 * What solver and verifier of a text both say: model, prompt, rule, limits.
 */
import { utf8 } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { type GenerationRequest, generationRequest } from 'assay/method/generation/config'
import { type Decoder, openDecoder } from 'assay/method/generation/decoder'
import type { TokenRule } from 'assay/method/generation/token-rule'
import { DEFAULT_TOPK } from 'assay/method/generation/toploc'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { countFrom, finitePositive, hexOf } from './arguments.ts'
import { readModel } from './onnx-job.ts'
import { openRuntime, RUNTIMES, type RuntimeName } from './onnx-runtime.ts'

export interface GenerateOptions {
  readonly model: string
  readonly runtime: RuntimeName
  readonly prompt?: string
  readonly promptTokens?: readonly number[]
  readonly tokens: number
  readonly stop?: readonly number[]
  readonly greedy?: boolean
  readonly temperature?: number
  readonly topK?: number
  readonly seed?: Uint8Array
}

/** Tokens of a model that reads bytes. */
const BYTE_VOCABULARY = 256

export function addGenerateOptions(command: Command): Command {
  return command
    .requiredOption('--model <file>', 'the ONNX model: a decoder with a key and value cache')
    .option('--prompt <text>', 'what the text goes on from, for a model whose tokens are bytes')
    .addOption(
      new Option('--prompt-tokens <list>', 'the same as token numbers with commas, for any model')
        .argParser(tokenList)
        .conflicts('prompt'),
    )
    .requiredOption('--tokens <n>', 'tokens to generate, at most', countFrom(1))
    .option('--stop <list>', 'token numbers with commas: the text ends with the first of them', tokenList)
    .option('--greedy', 'always the most likely token: what is done without --temperature')
    .addOption(
      new Option('--temperature <t>', 'sample, with this temperature, from the public seed')
        .argParser(finitePositive)
        .conflicts('greedy'),
    )
    .option('--top-k <k>', 'sample from so many most likely tokens (default: from all)', countFrom(1))
    .addOption(
      new Option('--runtime <name>', 'wasm: the same bits on any machine; native: faster')
        .choices(RUNTIMES)
        .default('wasm'),
    )
}

/** 32 bytes of seed, for sampling only. */
export function addSeedOption(command: Command, description: string): Command {
  return command.addOption(new Option('--seed <hex>', description).argParser(hexOf(32)).conflicts('greedy'))
}

function tokenList(text: string): number[] {
  const tokens = text.split(',').map((part) => Number(part.trim() || Number.NaN))
  if (tokens.every((token) => Number.isInteger(token) && token >= 0)) return tokens
  throw new InvalidArgumentError('Expected token numbers with commas between, such as 15,3,7.')
}

export async function openGenerateDecoder(options: GenerateOptions): Promise<Decoder> {
  const model = await readModel(options.model)
  return openDecoder(model, await openRuntime(options.runtime))
}

/** The request that the options make. Fingerprints are asked for where the model gives a hidden state. */
export function requestOf(
  options: GenerateOptions,
  { decoder, seed }: { readonly decoder: Decoder; readonly seed: Uint8Array | null },
): GenerationRequest {
  return generationRequest({
    model: decoder.model.cid,
    prompt: promptOf(options, decoder.vocabulary),
    rule: ruleOf(options),
    seed,
    maxTokens: options.tokens,
    stop: options.stop ?? [],
    fingerprintTopk: decoder.width === null ? null : DEFAULT_TOPK,
  })
}

function promptOf({ prompt, promptTokens }: GenerateOptions, vocabulary: number): readonly number[] {
  if (promptTokens !== undefined) return promptTokens
  if (prompt === undefined || prompt === '') throw usage('give a --prompt, or --prompt-tokens')
  if (vocabulary === BYTE_VOCABULARY) return [...utf8(prompt)]
  throw usage(
    `the model has ${vocabulary} tokens, and which of them a text is made of is not in the file: give --prompt-tokens`,
  )
}

function ruleOf({ temperature, topK, seed }: GenerateOptions): TokenRule {
  if (temperature !== undefined) return { kind: 'sample', temperature, topk: topK ?? null }
  if (topK === undefined && seed === undefined) return { kind: 'greedy' }
  throw usage('--top-k and --seed are for sampling: give a --temperature, or leave them out')
}

function usage(message: string): AssayError {
  return new AssayError('cli/usage', message)
}
