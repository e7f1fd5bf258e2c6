/**
 * Dishonest nodes, for demonstrations and tests: what a network must catch, made with the real node.
 *
 * Each is what an honest node is started with besides (executor/service.ts): hooks that step between it and its
 * answers, and for one that dies a network that goes away.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { utf8 } from 'assay/core/bytes'
import { hashFields } from 'assay/core/digest'
import type { NumericData, Tensor } from 'assay/state/tensor'
import { decodeTensors, encodeTensors } from 'assay/state/tensors'
import { decodeRow, encodeRow } from 'assay/wasm/row'
import type { SegmentResult } from 'assay/wire/dispatch'
import { MAX_ROW_BYTES, type Row } from 'assay/wire/segment'
import type { WorkSpec } from 'assay/wire/work'
import type { NodeHooks, RowsRequest } from '../executor/hooks.ts'
import type { NodeParts } from '../executor/service.ts'

export const CHEATS = ['lazy', 'altered', 'colluder', 'sleeper', 'dies', 'malformed', 'slow'] as const
export type Cheat = (typeof CHEATS)[number]

export interface CheatOptions {
  /** Rows that are made up or changed. 0.5 unless told. */
  readonly share?: number
  /** Answers that a sleeper gives honestly, and that a node gives before it dies. 3 unless told. */
  readonly after?: number
  /** What colluders agreed on: those with the same word give the same wrong answers. */
  readonly accord?: string
  /** What a slow node waits before it begins. 5 s unless told. */
  readonly delayMs?: number
}

const HALF = 0.5
const A_FEW = 3
const SLOW_MS = 5_000

/** What a cheat is started with beside the configuration. */
export function cheatParts(cheat: Cheat, options: CheatOptions = {}): Pick<NodeParts, 'hooks' | 'fetch'> {
  const { share = HALF, after = A_FEW, accord = 'accord', delayMs = SLOW_MS } = options
  switch (cheat) {
    case 'lazy':
      return { hooks: { rows: lazyRows(share) } }
    case 'altered':
      return { hooks: { rows: alteredRows(share, 'of my own') } }
    case 'colluder':
      return { hooks: { rows: alteredRows(share, accord) } }
    case 'sleeper':
      return { hooks: { rows: afterSome(after, alteredRows(share, 'awake')) } }
    case 'dies':
      return dying(after)
    case 'malformed':
      return { hooks: { result: truncated } }
    case 'slow':
      return {
        hooks: {
          async rows({ range, compute, signal }) {
            await pause(delayMs, undefined, { signal })
            return compute(range)
          },
        },
      }
  }
}

type RowsHook = NonNullable<NodeHooks['rows']>

/** Whether a row is to be wrong: for one word always the same ones, so that colluders agree. */
function wrongRows({ jobId }: RowsRequest, share: number, word: string): (index: number) => boolean {
  return (index) => {
    const [a = 0, b = 0] = hashFields('assay/cheat', [utf8(word), utf8(jobId), utf8(`${index}`)])
    return (a * 256 + b) / 65_536 < share
  }
}

/** Computes a part, and repeats of it what it did not compute. */
function lazyRows(share: number): RowsHook {
  const seen = new Map<string, Row>()
  return async (request) => {
    const { jobId, range, compute } = request
    const isMadeUp = wrongRows(request, share, 'lazy')
    const rows: Row[] = []
    for (let index = range.from; index < range.to; index++) {
      const known = seen.get(jobId)
      if (isMadeUp(index) && known !== undefined) {
        rows.push(known)
        continue
      }
      const [row] = await compute({ from: index, to: index + 1 })
      rows.push(row as Row)
      seen.set(jobId, row as Row)
    }
    return rows
  }
}

/** Computes everything, and answers something else. */
function alteredRows(share: number, word: string): RowsHook {
  return async (request) => {
    const rows = await request.compute(request.range)
    const isWrong = wrongRows(request, share, word)
    return rows.map((row, i) => (isWrong(request.range.from + i) ? alterRow(request.work, row) : row))
  }
}

function afterSome(honest: number, then: RowsHook): RowsHook {
  let answers = 0
  return (request) => (answers++ < honest ? request.compute(request.range) : then(request))
}

/** Takes a lease more, and is not heard of again. */
function dying(after: number): Pick<NodeParts, 'hooks' | 'fetch'> {
  let answers = 0
  const isDead = () => answers > after
  return {
    hooks: {
      async rows({ range, compute, signal }) {
        answers++
        if (!isDead()) return compute(range)
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        signal.throwIfAborted()
        return []
      },
    },
    fetch: (address, init) => {
      if (isDead()) return Promise.reject(new TypeError('the node is dead'))
      return fetch(address, init)
    },
  }
}

/** Loses the end of its output on the way. */
function truncated(result: SegmentResult): SegmentResult {
  if (!('inline' in result.output)) return { ...result, output: { inline: '' } }
  const { inline } = result.output
  return { ...result, output: { inline: inline.slice(0, Math.floor(inline.length / 8) * 4) } }
}

/** Another row of the same form. */
function alterRow(work: WorkSpec, row: Row): Row {
  if (work.kind === 'chat') return utf8('I would rather not say.')
  if (work.kind === 'wasm') {
    const { output, emitted } = decodeRow(row)
    return encodeRow({ output: output.length === 0 ? utf8('x') : flipped(output), emitted })
  }
  const tensors = decodeTensors(row, { maxBytes: MAX_ROW_BYTES })
  return encodeTensors(
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, alterTensor(tensor)])),
  )
}

function flipped(bytes: Uint8Array): Uint8Array {
  const other = Uint8Array.from(bytes)
  other[0] = (other[0] as number) ^ 1
  return other
}

/** Floats in another order, as if the model had decided otherwise; another first element of everything else. */
function alterTensor(tensor: Tensor): Tensor {
  const { data } = tensor
  if (data.length === 0) return tensor
  if (Array.isArray(data)) return { ...tensor, data: [`${data[0]}?`, ...data.slice(1)] }
  const other = (data as NumericData).slice()
  if (other instanceof Float32Array || other instanceof Float64Array) other.reverse()
  const isSame = other.every((value: number | bigint, i: number) => value === data[i])
  if (isSame) Reflect.set(other, 0, changed(other[0] as number | bigint, tensor.dtype))
  return { ...tensor, data: other }
}

function changed(value: number | bigint, dtype: Tensor['dtype']): number | bigint {
  if (typeof value === 'bigint') return value ^ 1n
  if (dtype === 'float32' || dtype === 'float64') return value === 0 ? 1 : -value
  return value ^ 1
}
