import { mkdtempSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromHex, toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { rangeOfFirstAxis } from 'assay/state/tensor'
import { encodeTensors } from 'assay/state/tensors'
import { encodeRows } from 'assay/task/rows'
import { decodeRow } from 'assay/wasm/row'
import { afterEach, describe, expect, it } from 'vitest'
import type { ContentSource } from '../dist/work/content-source.js'
import { type Machine, openMachine } from '../dist/work/machine.js'
import type { WorkOrder } from '../dist/work/workbench.js'
import { DIGITS } from './run-assay.ts'

/** `run` answers with the record itself. */
const ECHO = fromHex(
  '0061736d0100000001140460017f017f60027f7f017e60027f7f006000000303020001050401010101071803066d656d6f7279020005616c6c6f6300000372756e00010a1302040041100b0c002000ad4220862001ad840b',
)
const RECORDS = ['one', 'two', '', 'three'].map((text) => utf8(text))

const machines: Machine[] = []
afterEach(async () => {
  await Promise.all(machines.splice(0).map((machine) => machine.close()))
})

async function machineOf(cacheBytes = 2 ** 24): Promise<Machine> {
  const cacheFolder = mkdtempSync(join(tmpdir(), 'assay-machine-'))
  const machine = await openMachine({ cacheFolder, cacheBytes, processes: 1 })
  machines.push(machine)
  return machine
}

function sourceOf(...values: Uint8Array[]) {
  const asked: string[] = []
  const byCid = new Map(values.map((bytes) => [contentAddress(bytes, 'raw') as string, bytes]))
  const source: ContentSource = async (cid, { fromByte }) => {
    asked.push(cid)
    const bytes = byCid.get(cid)
    if (bytes === undefined) throw new AssayError('wire/not-found', `no ${cid}`)
    return {
      sizeBytes: bytes.length,
      fromByte,
      bytes: (async function* () {
        yield bytes.subarray(fromByte)
      })(),
    }
  }
  return { source, asked, signal: new AbortController().signal }
}

function echoOrder(records: readonly Uint8Array[] = RECORDS, module = ECHO): WorkOrder {
  const input = encodeRows(records)
  return {
    work: {
      kind: 'wasm',
      module: contentAddress(module, 'raw'),
      memoryPages: 1,
      timeLimitMs: 5_000,
      maxOutputBytes: 1_000,
    },
    input: { inline: toBase64(input) },
    inputCid: contentAddress(input, 'raw'),
  }
}

describe('a workbench', () => {
  it('runs modules over records, and models over tensors, each opened once', async () => {
    const machine = await machineOf()
    const model = new Uint8Array(await readFile(`${DIGITS}model.onnx`))
    const { inputs, cid } = loadModel(model)
    const images = decodeInputs(await readFile(`${DIGITS}images.npy`), 'images.npy', { expect: inputs })
    const [[name, tensor]] = Object.entries(images) as [[string, Parameters<typeof rangeOfFirstAxis>[0]]]
    const input = encodeTensors({ [name]: rangeOfFirstAxis(tensor, { from: 0, to: 5 }) })
    const inputCid = contentAddress(input, 'raw')
    const from = sourceOf(ECHO, model, input)
    const wasm = await machine.workbench.use(echoOrder(), from)
    expect((await wasm.rows.rows({ from: 1, to: 4 })).map((row) => decodeRow(row).output)).toEqual(
      RECORDS.slice(1),
    )
    expect(decodeRow(await wasm.rows.row(0)).output).toEqual(RECORDS[0])
    await expect(wasm.rows.row(4)).rejects.toMatchObject({ code: 'work/rows' })
    const order: WorkOrder = {
      work: { kind: 'onnx', model: cid, runtime: 'reproducible', batch: 'first-axis' },
      input: { cid: inputCid },
      inputCid,
    }
    const [first, second] = await Promise.all([
      machine.workbench.use(order, from),
      machine.workbench.use(order, from),
    ])
    expect(second?.rows).toBe(first?.rows)
    expect(await first?.rows.rows({ from: 0, to: 5 })).toHaveLength(5)
    first?.release()
    first?.release()
    expect(await second?.rows.row(4)).toBeInstanceOf(Uint8Array)
    second?.release()
    const again = await machine.workbench.use(order, from)
    expect(again.rows).toBe(first?.rows)
    expect(from.asked.sort()).toEqual([contentAddress(ECHO, 'raw'), cid, inputCid].sort())
    expect(machine.cacheBytes()).toBeGreaterThan(0)
    await machine.workbench.close()
    await expect(again.rows.row(0)).rejects.toMatchObject({ code: 'work/closed' })
    await expect(machine.workbench.use(order, from)).rejects.toMatchObject({ code: 'work/closed' })
  })

  it('closes what was not used for longest, and makes room in the cache with it', async () => {
    const modules = Array.from({ length: 12 }, (_, i) => {
      // A custom section that holds a number: another module that does the same.
      return new Uint8Array([...ECHO, 0, 2, 1, i])
    })
    const machine = await machineOf(2 * 4096)
    const from = sourceOf(...modules)
    for (const module of modules) {
      const { rows, release } = await machine.workbench.use(echoOrder(RECORDS, module), from)
      expect(await rows.rows({ from: 0, to: 4 })).toHaveLength(4)
      release()
    }
    const held = await Promise.all(
      modules.slice(0, 2).map((module) => machine.workbench.use(echoOrder(RECORDS, module), from)),
    )
    const third = machine.workbench.use(echoOrder(RECORDS, modules[5]), from)
    await expect(third).rejects.toMatchObject({ code: 'work/cache-full' })
    for (const { release } of held) release()
    const after = await machine.workbench.use(echoOrder(RECORDS, modules[5]), from)
    expect(await after.rows.row(0)).toBeInstanceOf(Uint8Array)
  })

  it('refuses what it has nothing for, what it cannot get, and an input that is another', async () => {
    const machine = await machineOf()
    const from = sourceOf()
    const chat: WorkOrder = {
      ...echoOrder(),
      work: { kind: 'chat', model: 'm', temperature: 0, seed: 0, maxTokens: 1, compare: 'text' },
    }
    await expect(machine.workbench.use(chat, from)).rejects.toMatchObject({ code: 'work/unsupported' })
    await expect(machine.workbench.use(echoOrder(), from)).rejects.toMatchObject({ code: 'work/download' })
    const other = { ...echoOrder(), inputCid: contentAddress(utf8('other'), 'raw') }
    await expect(machine.workbench.use(other, sourceOf(ECHO))).rejects.toMatchObject({ code: 'cid/mismatch' })
  })

  it('lets go of who does not wait any longer', async () => {
    const machine = await machineOf()
    const stop = new AbortController()
    let [isAsked, isStopped] = [false, false]
    const source: ContentSource = async (_, { signal }) => {
      isAsked = true
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      isStopped = true
      throw signal.reason
    }
    const lost = machine.workbench.use(echoOrder(), { source, signal: stop.signal })
    await expect.poll(() => isAsked).toBe(true)
    stop.abort()
    await expect(lost).rejects.toMatchObject({ code: 'task/cancelled' })
    await expect.poll(() => isStopped).toBe(true)
    const { rows } = await machine.workbench.use(echoOrder(), sourceOf(ECHO))
    expect(rows.count).toBe(4)
  })
})
