import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ed25519KeyPair } from 'assay/core/keys'
import { fakedIndices, lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { solve } from 'assay/method/sampling/prover'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { verify } from '../two-parties.mjs'
import { readCsv } from './csv.mjs'
import { revenue, stageStart } from './task.mjs'

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const read = (name: string) => readFileSync(file(name), 'utf8')
const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }
const seed = fill(4)

const lines = read('orders.csv').split('\n')
const few = { orders: `${lines.slice(0, 41).join('\n')}\n`, countries: read('countries.csv') }
const requestOf = (solverInput: unknown) => ({ solverInput, falsePositiveRate: 0.01 })
const rows = readCsv(few.orders, { file: 'orders.csv', fields: lines[0]?.split(',') ?? [] }).length
const ask = { samples: 80 }

describe('the table', () => {
  it('is what a plain loop over the files gives', async () => {
    const solution = await solve(revenue, requestOf(few), { job, key })
    const countries: { fields: string[] }[] = readCsv(few.countries, COUNTRIES)
    const regions = new Map(countries.map(({ fields }) => [fields[0], fields[2]]))
    const expected = new Map<string, number>()
    for (const { fields } of readCsv(few.orders, ORDERS)) {
      const [, date, country, , quantity, price, status] = fields as string[]
      if (status === 'cancelled') continue
      const cell = `${regions.get(country) ?? 'unknown'} ${date?.slice(0, 7)}`
      expected.set(cell, (expected.get(cell) ?? 0) + Number(quantity) * Math.round(Number(price) * 100))
    }
    const table = solution.response.solverOutput.map(
      ({ region, month, cents }: { region: string; month: string; cents: number }) =>
        [`${region} ${month}`, cents] as const,
    )
    expect(new Map(table)).toEqual(expected)
    expect(table.length).toBeGreaterThan(10)
  })

  it('comes from files that the generator gives again', () => {
    const scratch = mkdtempSync(join(tmpdir(), 'assay-etl-'))
    try {
      cpSync(file('make-data.mjs'), join(scratch, 'make-data.mjs'))
      execFileSync(process.execPath, [join(scratch, 'make-data.mjs')])
      for (const name of ['orders.csv', 'countries.csv']) {
        expect(readFileSync(join(scratch, name), 'utf8')).toBe(read(name))
      }
    } finally {
      rmSync(scratch, { recursive: true })
    }
  })
})

describe('solvers', () => {
  it('honest: accepted', async () => {
    const solution = await solve(revenue, requestOf(few), { job, key })
    const { response } = await verify(revenue, requestOf(few), { job, solution, ask, seed })
    expect(response).toEqual({ isVerified: true, countItems: 80, evidence: null })
  })

  it('lazy: caught at one of the rows that it skipped', async () => {
    const faked = new Set(
      [...fakedIndices(fill(7), { states: rows, faked: 20 })].map((i) => stageStart('join', rows) + i),
    )
    const cheat = lazyTask(revenue, faked, () => ({ stage: 'join', kept: false }))
    const solution = await solve(cheat, requestOf(few), { job, key })
    const { response } = await verify(revenue, requestOf(few), { job, solution, ask, seed })
    expect(response.evidence?.code).toBe('sampling/state-mismatch')
    expect(faked.has(response.evidence?.stateIndex ?? -1)).toBe(true)
  })

  it('adversarial: caught without a sample', async () => {
    const alter = (table: object[]) => table.slice(1)
    const solution = await solveAdversarially(revenue, requestOf(few), { job, key, alter })
    const { response } = await verify(revenue, requestOf(few), { job, solution, ask: { samples: 0 }, seed })
    expect(response.evidence?.code).toBe('sampling/output-derivation')
  })
})

const ORDERS = { file: 'orders.csv', fields: lines[0]?.split(',') ?? [] }
const COUNTRIES = { file: 'countries.csv', fields: ['code', 'name', 'region'] }

describe('csv', () => {
  const table = { file: 't.csv', fields: ['a', 'b'] }

  it.each([
    ['plain', 'a,b\n1,2\n', [['1', '2']]],
    ['no last line break', 'a,b\n1,2', [['1', '2']]],
    ['CRLF', 'a,b\r\n1,2\r\n', [['1', '2']]],
    [
      'empty fields',
      'a,b\n,\n"",x\n',
      [
        ['', ''],
        ['', 'x'],
      ],
    ],
    ['quotes', 'a,b\n"x ""y"" z",","\n', [['x "y" z', ',']]],
    ['a line break in a field', 'a,b\n"1\n2",3\n', [['1\n2', '3']]],
  ])('%s', (_, text, rows) => {
    expect(readCsv(text, table).map(({ fields }) => fields)).toEqual(rows)
  })

  it.each([
    ['another header', 'a,c\n', 1, 1],
    ['nothing', '', 1, 1],
    ['a row too short', 'a,b\n1,2\n3\n', 3, 1],
    ['a row too long', 'a,b\n1,2,3\n', 2, 5],
    ['a quote in a bare field', 'a,b\n1,2"3\n', 2, 4],
    ['text after a closing quote', 'a,b\n1,"2"3\n', 2, 6],
    ['an open quote', 'a,b\n1,"2\n3,4\n', 2, 3],
    ['text after a quoted line break', 'a,b\n"1\n2"x,3\n', 3, 3],
    ['a lone CR', 'a,b\n1,2\r3,4\n', 2, 5],
  ])('refuses %s', (_, text, line, column) => {
    expect(() => readCsv(text, table)).toThrow(expect.objectContaining({ code: 'task/input' }))
    expect(() => readCsv(text, table)).toThrow(`t.csv, line ${line}, column ${column}: `)
  })

  it.each([
    ['2024-06-07', '2024-13-07', 8],
    [',8,22.41', ',0,22.41', 32],
    ['22.41', '22,41', 48],
    ['22.41', '22.4', 34],
  ])('an order with %s as %s is refused by its place', async (from, to, column) => {
    const orders = few.orders.replace(from, to)
    const work = solve(revenue, requestOf({ ...few, orders }), { job, key })
    await expect(work).rejects.toMatchObject({
      code: 'task/input',
      detail: { file: 'orders.csv', line: 2, column },
    })
  })
})

it('runs', async () => {
  const output = await runExample('etl')
  expect(output).toContain('2000 orders, 6000 states')
  expect(output).toMatch(/honest solver: accepted .*confidence 99/)
  expect(output).toContain('lazy solver: rejected (sampling/state-mismatch)')
  expect(output).toContain('adversarial solver: rejected (sampling/output-derivation)')
  expect(output).toContain('task/input: orders.csv, line 2, column 32: expected a quantity')
})
