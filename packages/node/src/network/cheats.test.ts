import { utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { tensor } from 'assay/state/tensor'
import { decodeTensors, encodeTensors } from 'assay/state/tensors'
import { encodeRow } from 'assay/wasm/row'
import type { SegmentResult } from 'assay/wire/dispatch'
import type { Row } from 'assay/wire/segment'
import type { WorkSpec } from 'assay/wire/work'
import { describe, expect, it } from 'vitest'
import type { RowsRequest } from '../executor/hooks.ts'
import { type Cheat, type CheatOptions, cheatParts } from './cheats.ts'

const CID = contentAddress(new Uint8Array(), 'raw')
const KINDS: readonly [WorkSpec, (index: number) => Row][] = [
  [
    { kind: 'onnx', model: CID, runtime: 'reproducible', batch: 'first-axis' },
    (index) =>
      encodeTensors({
        scores: tensor('float32', [1, 3], Float32Array.of(index, 1, 2)),
        label: tensor('int64', [1], BigInt64Array.of(BigInt(index))),
      }),
  ],
  [
    { kind: 'wasm', module: CID, memoryPages: 1, timeLimitMs: 1, maxOutputBytes: 9 },
    (index) => encodeRow({ output: utf8(`row ${index}`), emitted: [] }),
  ],
  [
    { kind: 'chat', model: 'm', temperature: 0, seed: 0, maxTokens: 1, compare: 'text' },
    (index) => utf8(`answer ${index}`),
  ],
]

async function answer(cheat: Cheat, [work, rowAt]: (typeof KINDS)[number], options: CheatOptions = {}) {
  const rows = cheatParts(cheat, options).hooks?.rows
  let computed = 0
  const run = async (from: number, to: number, signal = new AbortController().signal) => {
    const compute: RowsRequest['compute'] = async (part) => {
      computed += part.to - part.from
      return Array.from({ length: part.to - part.from }, (_, i) => rowAt(part.from + i))
    }
    const request = { jobId: 'job', work, range: { from, to }, signal, compute }
    return rows === undefined ? compute(request.range) : rows(request)
  }
  const wrong = (given: readonly Row[], from = 0) =>
    given.flatMap((row, i) => (Buffer.compare(row, rowAt(from + i)) === 0 ? [] : [from + i]))
  return { run, wrong, computed: () => computed }
}

describe.each(KINDS.map((kind) => [kind[0].kind, kind] as const))('cheats of %s', (_, kind) => {
  it('lazy computes a part and makes the rest up', async () => {
    const { run, wrong, computed } = await answer('lazy', kind, { share: 0.5 })
    const rows = await run(0, 100)
    expect(rows).toHaveLength(100)
    expect(wrong(rows).length).toBeGreaterThan(20)
    expect(computed()).toBeLessThan(80)
  })

  it('altered computes everything, and answers rows of the same form with other contents', async () => {
    const { run, wrong, computed } = await answer('altered', kind, { share: 0.25 })
    const rows = await run(0, 100)
    expect(computed()).toBe(100)
    expect(wrong(rows).length).toBeGreaterThan(5)
    expect(wrong(rows).length).toBeLessThan(60)
    if (kind[0].kind === 'onnx') for (const row of rows) decodeTensors(row, { maxBytes: 1e6 })
  })

  it('colluders give the same wrong rows, however their segments are cut', async () => {
    const whole = await answer('colluder', kind, { accord: 'we' })
    const parts = await answer('colluder', kind, { accord: 'we' })
    const others = await answer('colluder', kind, { accord: 'they' })
    const rows = await whole.run(0, 60)
    expect([...(await parts.run(0, 7)), ...(await parts.run(7, 60))]).toEqual(rows)
    expect(whole.wrong(rows).length).toBeGreaterThan(0)
    expect(whole.wrong(await others.run(0, 60))).not.toEqual(whole.wrong(rows))
  })

  it('a sleeper is honest at first', async () => {
    const { run, wrong } = await answer('sleeper', kind, { after: 2, share: 1 })
    expect(wrong(await run(0, 9))).toEqual([])
    expect(wrong(await run(9, 18), 9)).toEqual([])
    expect(wrong(await run(0, 9))).toHaveLength(9)
  })

  it('slow and malformed nodes compute what they should', async () => {
    const slow = await answer('slow', kind, { delayMs: 1 })
    expect(slow.wrong(await slow.run(0, 5))).toEqual([])
    const malformed = await answer('malformed', kind)
    expect(malformed.wrong(await malformed.run(0, 5))).toEqual([])
  })
})

it('a node that dies is silent to everybody, and stops when it is told to', async () => {
  const [kind] = KINDS as [(typeof KINDS)[number]]
  const parts = cheatParts('dies', { after: 1 })
  const stop = new AbortController()
  const rows = parts.hooks?.rows as NonNullable<typeof parts.hooks>['rows']
  const request = {
    jobId: 'job',
    work: kind[0],
    range: { from: 0, to: 1 },
    signal: stop.signal,
    compute: async () => [kind[1](0)],
  }
  expect(await rows?.(request)).toHaveLength(1)
  const never = rows?.(request)
  await expect(parts.fetch?.('http://127.0.0.1:1')).rejects.toThrow('the node is dead')
  stop.abort(new Error('over'))
  await expect(never).rejects.toThrow('over')
})

it('a malformed result has lost a part of its output', () => {
  const result = { output: { inline: 'AAAAAAAAAAAAAAAA' } } as SegmentResult
  const alter = cheatParts('malformed').hooks?.result
  expect(alter?.(result).output).toEqual({ inline: 'AAAAAAAA' })
  expect(alter?.({ ...result, output: { cid: CID } }).output).toEqual({ inline: '' })
})
