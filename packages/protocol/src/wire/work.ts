/**
 * What a node can run: the descriptors of the three kinds of work. Models and modules go by content address, so
 * that the descriptor binds what is computed.
 */
import * as z from 'zod/mini'
import { cid, count, name } from './text.ts'

export const WORK_KINDS = ['onnx', 'wasm', 'chat'] as const
export type WorkKind = (typeof WORK_KINDS)[number]

/** Longest that one row may take on a node, whatever the job asks for. */
export const MAX_ROW_TIME_MS = 600_000
/** 1 GiB in pages of 64 KiB. */
export const MAX_MEMORY_PAGES = 16_384

/** Rows along the first axis of the named input tensors (canonical tensors, state/tensors.ts). */
export const onnxWork = z.strictObject({
  kind: z.literal('onnx'),
  model: cid,
  /** `reproducible` agrees bit for bit; `native` is faster, and agrees within `tolerance` only. */
  runtime: z.enum(['reproducible', 'native']),
  batch: z.enum(['first-axis', 'whole']),
  /** Largest difference of one float between honest machines; native only. */
  tolerance: z.optional(z.number().check(z.positive(), z.maximum(1))),
  /** Float elements of one row's outputs; needed with a tolerance. */
  elements: z.optional(z.int().check(z.minimum(1), z.maximum(1e6))),
})

/** A pure function from record to row (wasm/module.ts), over a list of records (task/rows.ts). */
export const wasmWork = z.strictObject({
  kind: z.literal('wasm'),
  module: cid,
  memoryPages: z.int().check(z.minimum(1), z.maximum(MAX_MEMORY_PAGES)),
  /** For one record; a node kills what takes longer. */
  timeLimitMs: z.int().check(z.minimum(1), z.maximum(MAX_ROW_TIME_MS)),
  maxOutputBytes: z.int().check(z.minimum(0), z.maximum(2 ** 24)),
})

/** Prompts, one a record in UTF-8 (task/rows.ts), answered by an OpenAI-compatible endpoint beside the node. */
export const chatWork = z.strictObject({
  kind: z.literal('chat'),
  /** The name by which the nodes' endpoints know the model. */
  model: name,
  system: z.optional(z.string().check(z.maxLength(16_384))),
  temperature: z.number().check(z.minimum(0), z.maximum(2)),
  seed: count,
  maxTokens: z.int().check(z.minimum(1), z.maximum(32_768)),
  /** How answers are compared: as text, or as plans of calls whose arguments agree (state/plan.ts). */
  compare: z.enum(['text', 'plan']),
})

export const workSpec = z.discriminatedUnion('kind', [onnxWork, wasmWork, chatWork])
export type WorkSpec = z.infer<typeof workSpec>
export type OnnxWork = z.infer<typeof onnxWork>
export type WasmWork = z.infer<typeof wasmWork>
export type ChatWork = z.infer<typeof chatWork>

/** Addresses of what a node must have before it can run the work. */
export function contentOf(work: WorkSpec): { readonly [name: string]: string } {
  if (work.kind === 'onnx') return { model: work.model }
  return work.kind === 'wasm' ? { module: work.module } : {}
}
