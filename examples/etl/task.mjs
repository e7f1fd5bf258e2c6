/**
 * An ETL pipeline as a graph of stages: parse → filter → join, a state for each row and stage, and a table of
 * revenue by region and month that the verifier derives from the joined rows itself.
 *
 * A filter keeps one state for each row that came in, and marks those that it drops: the number of states has to
 * follow from the input alone. All money is in whole cents, so that sums have one value.
 */
import { valueCodec, valueState } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import { derivedFrom } from 'assay/task/output'
import * as z from 'zod/mini'
import { readCsv, refuseField } from './csv.mjs'

const ORDERS = 'orders.csv'
const COUNTRIES = 'countries.csv'
const ORDER_FIELDS = ['order', 'date', 'country', 'product', 'quantity', 'unit_price', 'status', 'note']
const COUNTRY_FIELDS = ['code', 'name', 'region']
const KEPT = ['shipped', 'open']
const UNKNOWN = { name: 'unknown', region: 'unknown' }

const order = z.strictObject({
  stage: z.literal('parse'),
  order: z.string(),
  date: z.string(),
  country: z.string(),
  product: z.string(),
  quantity: z.int(),
  cents: z.int(),
  status: z.string(),
})
const filtered = z.strictObject({ stage: z.literal('filter'), kept: z.boolean() })
const dropped = z.strictObject({ stage: z.literal('join'), kept: z.literal(false) })
const joined = z.strictObject({
  stage: z.literal('join'),
  kept: z.literal(true),
  month: z.string(),
  region: z.string(),
  cents: z.int(),
})
const table = z.array(
  z.strictObject({ region: z.string(), month: z.string(), orders: z.int(), cents: z.int() }),
)

export const revenue = defineTask({
  name: 'etl/revenue',
  version: '1',
  shape: 'graph',
  input: valueCodec({
    name: 'etl/files',
    schema: z.strictObject({ orders: z.string(), countries: z.string() }),
  }),
  // Whether a row is kept can be guessed: five rows in six are.
  state: valueState({
    name: 'etl/row',
    schema: z.union([order, filtered, dropped, joined]),
    guessProbability: 5 / 6,
  }),
  stages: [
    {
      name: 'parse',
      shape: 'parallel',
      count: rowCount,
      compute: (input, i) => parseOrder(open(input).rows[i]),
    },
    {
      name: 'filter',
      shape: 'parallel',
      needs: ['parse'],
      count: rowCount,
      compute: async (_, i, { parse }) => {
        const { status } = await parse.at(i)
        return { stage: 'filter', kept: KEPT.includes(status) }
      },
    },
    {
      name: 'join',
      shape: 'parallel',
      needs: ['parse', 'filter'],
      count: rowCount,
      compute: async (input, i, { parse, filter }) => {
        const { kept } = await filter.at(i)
        return kept ? joinCountry(await parse.at(i), open(input).countries) : { stage: 'join', kept: false }
      },
    },
  ],
  output: derivedFrom(valueCodec({ name: 'etl/table', schema: table }), aggregate),
})

/** Where the states of a stage begin: the stages follow one another, each with a state for every row. */
export function stageStart(stage, rows) {
  return ['parse', 'filter', 'join'].indexOf(stage) * rows
}

const opened = new WeakMap()

/** The files of an input, taken apart once. */
function open(input) {
  let files = opened.get(input)
  if (files === undefined) {
    const rows = readCsv(input.orders, { file: ORDERS, fields: ORDER_FIELDS })
    const countries = new Map()
    for (const { fields } of readCsv(input.countries, { file: COUNTRIES, fields: COUNTRY_FIELDS })) {
      countries.set(fields[0], { name: fields[1], region: fields[2] })
    }
    files = { rows, countries }
    opened.set(input, files)
  }
  return files
}

function rowCount(input) {
  return open(input).rows.length
}

function parseOrder(record) {
  const [number, date, country, product, quantity, price, status] = record.fields
  const check = (field, pattern, expected) => {
    const value = record.fields[field]
    if (!pattern.test(value)) {
      throw refuseField(ORDERS, {
        record,
        field,
        message: `expected ${expected}, got ${JSON.stringify(value)}`,
      })
    }
  }
  check(1, /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, 'a date (2024-12-31)')
  check(4, /^[1-9]\d{0,5}$/, 'a quantity from 1 to 999999')
  check(5, /^\d{1,6}\.\d\d$/, 'a price (19.90)')
  const cents = Number(price.replace('.', ''))
  return { stage: 'parse', order: number, date, country, product, quantity: Number(quantity), cents, status }
}

function joinCountry({ country, date, quantity, cents }, countries) {
  const { region } = countries.get(country) ?? UNKNOWN
  return { stage: 'join', kept: true, month: date.slice(0, 7), region, cents: quantity * cents }
}

/** Revenue by region and month, in the order of their names. */
function aggregate(states) {
  const cells = new Map()
  for (const state of states) {
    if (state.stage !== 'join' || !state.kept) continue
    const { region, month, cents } = state
    const key = JSON.stringify([region, month])
    const cell = cells.get(key) ?? { region, month, orders: 0, cents: 0 }
    cells.set(key, { ...cell, orders: cell.orders + 1, cents: cell.cents + cents })
  }
  return [...cells.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cell]) => cell)
}
