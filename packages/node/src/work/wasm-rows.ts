/** Rows of a wasm job: each row what the module makes of one record of the input (wasm/row.ts of the library). */
import { AssayError } from 'assay/core/errors'
import { decodeRows } from 'assay/task/rows'
import { DEFAULT_WASM_LIMITS, type WasmLimits } from 'assay/wasm/limits'
import type { WasmWork } from 'assay/wire/work'
import { assertRange, type RowRunner } from './row-runner.ts'
import type { WasmRunner } from './wasm-runner.ts'

export interface WasmContent {
  readonly module: Uint8Array
  /** A list of records (task/rows.ts). */
  readonly input: Uint8Array
}

/** What every node holds a module to: as the job says, and where it says nothing the defaults. */
function limitsOf({ memoryPages, maxOutputBytes }: WasmWork): WasmLimits {
  return { ...DEFAULT_WASM_LIMITS, memoryPages, outputBytes: maxOutputBytes }
}

/** @throws AssayError `task/output` for an input that is no list; rows throw what the module does (wasm/errors.ts). */
export function openWasmRows(
  work: WasmWork,
  { module: bytes, input }: WasmContent,
  { runner }: { readonly runner: WasmRunner },
): RowRunner {
  const records = decodeRows(input)
  const module = { cid: work.module, bytes }
  const limits = limitsOf(work)
  const closing = new AbortController()
  const rows: RowRunner['rows'] = async (range, { signal } = {}) => {
    if (closing.signal.aborted) throw new AssayError('work/closed', 'the rows of this job were closed')
    assertRange(range, records.length)
    const { timeLimitMs } = work
    return runner.run(module, records.slice(range.from, range.to), {
      limits,
      timeLimitMs,
      ...(signal === undefined ? {} : { signal }),
    })
  }
  return {
    count: records.length,
    rows,
    row: async (index, options) => (await rows({ from: index, to: index + 1 }, options))[0]!,
    close: async () => closing.abort(),
  }
}
