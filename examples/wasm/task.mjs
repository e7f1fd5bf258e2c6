/** A module over a list of records, as a task: each record is one run of the module and one state. */
import { readFile } from 'node:fs/promises'
import { contentAddress } from 'assay/core/cid'
import { valueCodec, valueState } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import { DEFAULT_WASM_LIMITS } from 'assay/wasm/limits'
import { loadWasmModule } from 'assay/wasm/module'
import { encodeRow } from 'assay/wasm/row'
import { runRecord } from 'assay/wasm/run'
import * as z from 'zod/mini'

const bytes = z.custom((value) => value instanceof Uint8Array, 'bytes')

/** A module of this folder: its bytes, and what is loaded from them. */
export async function openModule(name) {
  const source = new Uint8Array(await readFile(new URL(`./${name}.wasm`, import.meta.url)))
  return { source, module: loadWasmModule(source, DEFAULT_WASM_LIMITS) }
}

/** The task covers the module by its content address: who runs another module runs another task. */
export function moduleTask({ source, module }) {
  return defineTask({
    name: 'wasm-records',
    version: '1',
    shape: 'parallel',
    content: { module: contentAddress(source, 'raw') },
    input: valueCodec({ name: 'wasm-records/input', schema: z.array(bytes) }),
    state: valueState({ name: 'wasm-records/row', schema: bytes, guessProbability: 0 }),
    count: (records) => records.length,
    compute: (records, index) => encodeRow(runRecord(module, records[index])),
  })
}
