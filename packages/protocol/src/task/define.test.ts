import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { integerState } from '../state/integer.ts'
import { valueCodec } from '../state/value.ts'
import { defineTask } from './define.ts'
import type { Stage } from './graph.ts'
import { derivedFrom } from './output.ts'

const numbers = valueCodec<number[]>({ name: 'numbers', schema: z.array(z.int()) })
const state = integerState()
const sum = derivedFrom<number[], bigint | number, number>(
  valueCodec({ name: 'sum', schema: z.int() }),
  (states) => states.reduce<number>((total, s) => total + Number(s), 0),
)

const squares = () =>
  defineTask({
    name: 'squares',
    version: '1',
    shape: 'parallel',
    input: numbers,
    state,
    count: (input: number[]) => input.length,
    compute: (input: number[], index: number) => BigInt(input[index] as number) ** 2n,
  })

describe('defineTask', () => {
  it('runs a parallel task state by state, and its output is its states', async () => {
    const task = squares()
    expect(task.states([3, 4])).toBe(2)
    expect(await task.open([3, 4]).stateAt(1)).toBe(16n)
    expect([...task.output.claims([9n, 16n], [3, 4])]).toEqual([
      [0, 9n],
      [1, 16n],
    ])
    expect(() => [...task.output.claims([9n], [3, 4])]).toThrow(/2 rows, got 1/)
  })

  it('replays a sequential task from the start, and each step once in ascending order', async () => {
    const steps: number[] = []
    const task = defineTask({
      name: 'running sum',
      version: '1',
      shape: 'sequential',
      input: numbers,
      state,
      count: (input: number[]) => input.length,
      step: (previous: bigint | number | undefined, input: number[], index: number) => {
        steps.push(index)
        return BigInt(previous ?? 0) + BigInt(input[index] as number)
      },
    })
    const execution = task.open([1, 2, 3, 4])
    expect(await execution.stateAt(1)).toBe(3n)
    expect(await execution.stateAt(3)).toBe(10n)
    expect(steps).toEqual([0, 1, 2, 3])
    expect(await execution.stateAt(0)).toBe(1n)
    expect(task.output.derive([1n, 3n, 10n], [])).toBe(10n)
  })

  it('gives an indivisible task one state, which its output claims', () => {
    const task = defineTask({
      name: 'total',
      version: '1',
      shape: 'indivisible',
      input: numbers,
      state,
      run: (input: number[]) => input.reduce((a, b) => a + b, 0),
    })
    expect(task.states([5, 6])).toBe(1)
    expect(task.output.complete).toBe(true)
    expect([...task.output.claims(11, [5, 6])]).toEqual([[0, 11]])
  })

  it('numbers the states of a graph through its stages, and computes only the cone of what is asked', async () => {
    const computed: string[] = []
    const stages: Stage<number[], bigint | number>[] = [
      {
        name: 'double',
        shape: 'parallel',
        count: (input) => input.length,
        compute: (input, index) => {
          computed.push(`double ${index}`)
          return 2 * (input[index] as number)
        },
      },
      {
        name: 'chain',
        shape: 'sequential',
        needs: ['double'],
        count: (input) => input.length,
        step: async (previous, _input, index, read) =>
          Number(previous ?? 0) + Number(await read.double?.at(index)),
      },
      {
        name: 'all',
        shape: 'indivisible',
        needs: ['chain'],
        run: async (_input, read) => ((await read.chain?.all()) ?? []).length,
      },
    ]
    const task = defineTask({
      name: 'graph',
      version: '1',
      shape: 'graph',
      input: numbers,
      state,
      stages,
      output: sum,
    })
    expect(task.states([1, 2, 3])).toBe(7)
    const execution = task.open([1, 2, 3])
    expect(await execution.stateAt(4)).toBe(6)
    expect(computed).toEqual(['double 0', 'double 1'])
    expect(await execution.stateAt(6)).toBe(3)
    expect(computed).toEqual(['double 0', 'double 1', 'double 2'])
  })

  it('refuses graphs whose stages read later ones, or share a name', () => {
    const stage = (name: string, needs: string[]): Stage<number[], bigint | number> => ({
      name,
      needs,
      shape: 'indivisible',
      run: () => 1,
    })
    const open = (stages: Stage<number[], bigint | number>[]) =>
      defineTask({
        name: 'g',
        version: '1',
        shape: 'graph',
        input: numbers,
        state,
        stages,
        output: sum,
      }).states([])
    expect(() => open([stage('a', ['b']), stage('b', [])])).toThrow(/not declared before/)
    expect(() => open([stage('a', []), stage('a', [])])).toThrow(/got a twice/)
  })

  it('refuses inputs without states and indices out of range, by code', () => {
    const task = squares()
    expect(() => task.states([])).toThrow(expect.objectContaining({ code: 'task/input' }))
    expect(() => task.open([1]).stateAt(1)).toThrow(expect.objectContaining({ code: 'task/state-index' }))
    expect(() => task.open([1]).stateAt(0.5)).toThrow(expect.objectContaining({ code: 'task/state-index' }))
  })

  it('refuses state kinds that cannot pass or cannot fail', () => {
    const kind = { ...state, quorum: 2 }
    expect(() =>
      defineTask({
        name: 'bad',
        version: '1',
        shape: 'indivisible',
        input: numbers,
        state: kind,
        run: () => 1,
      }),
    ).toThrow(expect.objectContaining({ code: 'task/definition' }))
  })
})

describe('task ids', () => {
  const base = {
    name: 't',
    version: '1',
    shape: 'indivisible' as const,
    input: numbers,
    state,
    run: () => 1,
    parameters: { k: 1 },
    content: { model: 'cid-a' },
  }

  it('change with name, version, shape, parameters, content and kind of state', () => {
    const ids = [
      base,
      { ...base, name: 'u' },
      { ...base, version: '2' },
      { ...base, parameters: { k: 2 } },
      { ...base, content: { model: 'cid-b' } },
      { ...base, content: {} },
      { ...base, state: { ...state, name: 'other' } },
    ].map((definition) => defineTask(definition).id)
    ids.push(squares().id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('do not depend on the order of parameters', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-zA-Z]{1,9}$/), fc.integer()), (parameters) => {
        const reversed = Object.fromEntries(Object.entries(parameters).reverse())
        const a = defineTask({ ...base, parameters })
        const b = defineTask({ ...base, parameters: reversed })
        expect(a.id).toBe(b.id)
        expect(a.id).toMatch(/^[0-9a-f]{64}$/)
      }),
    )
  })
})
