/** Jobs of tests, with the rows that a run on this machine gives: what any network must come to. */
import { readFileSync } from 'node:fs'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { DEFAULT_WASM_LIMITS } from 'assay/wasm/limits'
import { loadWasmModule } from 'assay/wasm/module'
import { encodeRow } from 'assay/wasm/row'
import { runRecord } from 'assay/wasm/run'
import type { JobDraft } from 'assay/wire/submit'
import type { WasmWork } from 'assay/wire/work'

export interface TestJob {
  readonly draft: JobDraft
  /** All records, encoded. */
  readonly input: Uint8Array
  readonly inputCid: string
  readonly content: readonly Uint8Array[]
  /** Rows of a local run. */
  readonly expected: readonly Uint8Array[]
}

const example = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../../../../../examples/wasm/${name}.wasm`, import.meta.url)))

const SQUARE = example('square')
const SQUARE_MODULE = loadWasmModule(SQUARE, DEFAULT_WASM_LIMITS)
const ORDERS = example('orders')
const ORDERS_MODULE = loadWasmModule(ORDERS, DEFAULT_WASM_LIMITS)

function wasmWork(module: Uint8Array): WasmWork {
  return {
    kind: 'wasm',
    module: contentAddress(module, 'raw'),
    memoryPages: 64,
    timeLimitMs: 10_000,
    maxOutputBytes: 65_536,
  }
}

/** Numbers from `first` on, and their squares. */
export function squares(
  rows: number,
  { first = 0, ...draft }: Partial<JobDraft> & { readonly first?: number } = {},
): TestJob {
  const records = Array.from({ length: rows }, (_, i) => {
    const record = new Uint8Array(8)
    new DataView(record.buffer).setBigUint64(0, BigInt(first + i), true)
    return record
  })
  const expected = records.map((record) => encodeRow(runRecord(SQUARE_MODULE, record)))
  return testJob(records, { module: SQUARE, expected, draft })
}

const PRODUCTS = ['apple', 'bread', 'cheese', 'dates', 'eggs']

/** Tables of orders, summed up by a module that was written in C. */
export function orderSums(rows: number, draft: Partial<JobDraft> = {}): TestJob {
  const records = Array.from({ length: rows }, (_, batch) => {
    const lines = Array.from(
      { length: 20 },
      (_, i) => `${PRODUCTS[(batch + i * i) % 5]},${1 + ((batch * i) % 9)},${i}.${(batch * 7 + i) % 100}`,
    )
    return new TextEncoder().encode(lines.join('\n'))
  })
  const expected = records.map((record) => encodeRow(runRecord(ORDERS_MODULE, record)))
  return testJob(records, { module: ORDERS, expected, draft })
}

/** A price that covers three runs of each segment, unless the draft says otherwise. */
function testJob(
  records: readonly Uint8Array[],
  {
    module,
    expected,
    draft,
  }: {
    readonly module: Uint8Array
    readonly expected: readonly Uint8Array[]
    readonly draft: Partial<JobDraft>
  },
): TestJob {
  const input = encodeRows(records)
  const { segmentRows = 4, pricePerSegment = 2 } = draft
  return {
    draft: {
      name: 'records',
      work: wasmWork(module),
      rows: records.length,
      segmentRows,
      pricePerSegment,
      budget: 3 * pricePerSegment * Math.ceil(records.length / segmentRows),
      ...draft,
    },
    input,
    inputCid: contentAddress(input, 'raw'),
    content: [module],
    expected,
  }
}
