/** The trivial work of the network benchmark: a module that squares a number, over numbers from 0 on. */
import { readFileSync } from 'node:fs'
import { toBase64 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'

export function readModule() {
  return new Uint8Array(readFileSync(new URL('../examples/wasm/square.wasm', import.meta.url)))
}

export function recordOf(index) {
  const record = new Uint8Array(8)
  new DataView(record.buffer).setBigUint64(0, BigInt(index), true)
  return record
}

const PRICE = 1
/** What is asked for is one run; a budget covers what the coordinator runs again at its own cost. */
const RUNS = 1

/** A job of so many segments of one record each, without its input. */
export function jobDraft(segments) {
  const module = readModule()
  return {
    name: 'squares',
    work: {
      kind: 'wasm',
      module: contentAddress(module, 'raw'),
      memoryPages: 64,
      timeLimitMs: 10_000,
      maxOutputBytes: 64,
    },
    rows: segments,
    segmentRows: 1,
    pricePerSegment: PRICE,
    budget: RUNS * PRICE * segments,
    deadlineSeconds: 86_400,
  }
}

export function inputOf(segments) {
  return encodeRows(Array.from({ length: segments }, (_, i) => recordOf(i)))
}

/** With its input inside. */
export function smallJob() {
  return { ...jobDraft(1), input: { inline: toBase64(inputOf(1)) } }
}
