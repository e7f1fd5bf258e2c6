import { setMaxListeners } from 'node:events'
import { afterEach, describe, expect, test } from 'vitest'
import { SILENT_LOG } from '../../service/log.ts'
import { openWorkBoard, type Place, place, type WorkBoard } from './work-board.ts'

const WASM = place('wasm', '')
const ONNX = place('onnx/native', '')
const never = new AbortController().signal
setMaxListeners(0, never)

/** Work of some places, and a board over it. */
function openWorld() {
  const work = new Map<Place, number>()
  let looks = 0
  let tries = 0
  const board = openWorkBoard({
    look: async () => {
      looks += 1
      return [...work].flatMap(([at, count]) => (count > 0 ? [at] : []))
    },
    log: SILENT_LOG,
  })
  boards.push(board)
  /** Takes one piece of work of its places, as a lease does. */
  const taker = (places: readonly Place[]) => async () => {
    tries += 1
    const at = places.find((each) => (work.get(each) ?? 0) > 0)
    if (at === undefined) return undefined
    work.set(at, (work.get(at) as number) - 1)
    return at
  }
  const wait = (places: readonly Place[], { waitMs = 60_000, signal = never } = {}) =>
    board.wait({ places, waitMs, signal, attempt: taker(places) })
  const put = (at: Place, count = 1) => {
    work.set(at, (work.get(at) ?? 0) + count)
    board.signal()
  }
  return { board, work, wait, put, looks: () => looks, tries: () => tries }
}

const boards: WorkBoard[] = []
afterEach(async () => {
  await Promise.all(boards.splice(0).map((board) => board.close()))
})

async function settled(board: WorkBoard, waiting: number): Promise<void> {
  while (board.waiting !== waiting) await new Promise((resolve) => setTimeout(resolve, 5))
}

describe('a board of work', () => {
  test('answers at once where there is work, and where nobody wants to wait', async () => {
    const { wait, put, board } = openWorld()
    put(WASM)
    expect(await wait([WASM])).toBe(WASM)
    expect(await wait([WASM], { waitMs: 0 })).toBeUndefined()
    expect(await wait([], {})).toBeUndefined()
    expect(board.waiting).toBe(0)
  })

  test('tells who waits longest, and only who may have it', async () => {
    const { wait, put, board } = openWorld()
    const order: string[] = []
    const waits = [
      wait([ONNX]).then(() => order.push('onnx')),
      wait([WASM]).then(() => order.push('first')),
      wait([WASM, ONNX]).then(() => order.push('second')),
    ]
    await settled(board, 3)
    put(WASM)
    await settled(board, 2)
    put(WASM)
    await settled(board, 1)
    put(ONNX)
    await Promise.all(waits)
    expect(order).toEqual(['first', 'second', 'onnx'])
  })

  test('wakes as many as there is work for, however many wait', async () => {
    const { wait, put, board, tries } = openWorld()
    const controller = new AbortController()
    setMaxListeners(0, controller.signal)
    const waits = Array.from({ length: 500 }, () => wait([WASM], { signal: controller.signal }))
    await settled(board, 500)
    const before = tries()
    put(WASM, 20)
    await settled(board, 480)
    // One for each piece of work, and the few that find nothing more.
    expect(tries() - before).toBeLessThan(40)
    controller.abort()
    const found = await Promise.all(waits)
    expect(found.filter((at) => at === WASM)).toHaveLength(20)
    expect(board.waiting).toBe(0)
  })

  test('looks once for many signals', async () => {
    const { wait, put, board, looks } = openWorld()
    const waits = Array.from({ length: 10 }, () => wait([WASM]))
    await settled(board, 10)
    const before = looks()
    for (let i = 0; i < 1_000; i++) board.signal()
    put(WASM, 10)
    await Promise.all(waits)
    expect(looks() - before).toBeLessThan(20)
  })

  test('lets go of who goes away, who waited long enough, and of all when it closes', async () => {
    const { wait, board } = openWorld()
    const controller = new AbortController()
    const gone = wait([WASM], { signal: controller.signal })
    const short = wait([WASM], { waitMs: 1 })
    const last = wait([WASM])
    await settled(board, 2)
    controller.abort()
    expect(await gone).toBeUndefined()
    expect(await short).toBeUndefined()
    await settled(board, 1)
    await board.close()
    expect(await last).toBeUndefined()
    expect(await wait([WASM])).toBeUndefined()
  })

  test('finds what nobody told of', async () => {
    const { wait, work, board } = openWorld()
    const waiting = wait([WASM])
    await settled(board, 1)
    work.set(WASM, 1)
    expect(await waiting).toBe(WASM)
  })

  test('passes by nodes that get nothing, and tells an error to the one whose it is', async () => {
    const { put, board, wait } = openWorld()
    const full = board.wait({ places: [WASM], waitMs: 60_000, signal: never, attempt: async () => undefined })
    let calls = 0
    const failing = board.wait({
      places: [WASM],
      waitMs: 60_000,
      signal: never,
      attempt: async () => {
        if (++calls > 1) throw new Error('away')
        return undefined
      },
    })
    const refused = expect(failing).rejects.toThrow('away')
    const good = wait([WASM])
    await settled(board, 3)
    put(WASM)
    await refused
    expect(await good).toBe(WASM)
    await board.close()
    expect(await full).toBeUndefined()
  })

  test('does not count those who may not have it now', async () => {
    const { put, board, wait } = openWorld()
    let isPromoted = false
    const newcomers = Array.from({ length: 10 }, () =>
      board.wait({
        places: [WASM],
        waitMs: 60_000,
        signal: never,
        attempt: async () => (isPromoted ? 'promoted' : undefined),
        mayHave: async () => isPromoted,
      }),
    )
    const good = wait([WASM])
    await settled(board, 11)
    put(WASM)
    expect(await good).toBe(WASM)
    isPromoted = true
    put(WASM)
    expect(await Promise.race(newcomers)).toBe('promoted')
  })

  test('goes on when a look fails', async () => {
    let looks = 0
    let has = false
    const board = openWorkBoard({
      look: async () => {
        if (++looks === 1) throw new Error('the database is away')
        return [WASM]
      },
      log: SILENT_LOG,
    })
    boards.push(board)
    const waiting = board.wait({
      places: [WASM],
      waitMs: 60_000,
      signal: never,
      attempt: async () => (has ? true : undefined),
    })
    await settled(board, 1)
    has = true
    board.signal()
    expect(await waiting).toBe(true)
  })
})
