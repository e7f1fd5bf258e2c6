/**
 * A row: what a module made of one record, as the bytes that become a state of the task.
 *
 * Canonical DAG-CBOR in a typed, versioned envelope, so that two nodes that computed the same have the same bytes.
 */
import * as z from 'zod/mini'
import { defineObject } from '../core/codec.ts'
import { MAX_EMITTED_STATES, MAX_OUTPUT_BYTES } from './limits.ts'
import type { WasmResult } from './run.ts'

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes')

const row = defineObject<WasmResult>({
  type: 'assay/wasm-row',
  version: 1,
  schema: z.strictObject({
    output: bytes,
    emitted: z.array(bytes).check(z.maxLength(MAX_EMITTED_STATES)),
  }) as unknown as z.ZodMiniType<WasmResult>,
  maxBytes: MAX_OUTPUT_BYTES,
})

/** @throws AssayError `codec/too-large` beyond 16 MiB, `codec/schema`. */
export function encodeRow(result: WasmResult): Uint8Array {
  return row.encode(result)
}

/** Strict inverse of `encodeRow`. Throws any code of `codec/`. */
export function decodeRow(encoded: Uint8Array): WasmResult {
  return row.decode(encoded)
}
