/**
 * Writes orders.csv and countries.csv, always the same: node examples/etl/make-data.mjs
 *
 * Made-up orders of a made-up shop, with what real exports have: quoted fields, commas, quotes and line breaks
 * inside them, cancelled orders, and a country code or two that the dimension table lacks.
 */
import { writeFileSync } from 'node:fs'

const ROWS = 2000
const COUNTRIES = [
  ['AT', 'Austria', 'Europe'],
  ['BR', 'Brazil', 'South America'],
  ['CA', 'Canada', 'North America'],
  ['CI', "Côte d'Ivoire", 'Africa'],
  ['DE', 'Germany', 'Europe'],
  ['EG', 'Egypt', 'Africa'],
  ['FR', 'France', 'Europe'],
  ['IN', 'India', 'Asia'],
  ['JP', 'Japan', 'Asia'],
  ['KR', 'Korea, Republic of', 'Asia'],
  ['NZ', 'New Zealand', 'Oceania'],
  ['US', 'United States', 'North America'],
]
const PRODUCTS = [
  ['Desk lamp', 2490],
  ['Notebook, ruled', 349],
  ['Chair "Nils"', 8900],
  ['Ink, black', 799],
  ['Shelf, 3 boards', 4550],
]
const NOTES = [
  '',
  '',
  '',
  '',
  'gift',
  'leave at "back door"',
  'two parcels, one invoice',
  'fragile\nhandle with care',
]
const STATUS = ['shipped', 'shipped', 'shipped', 'shipped', 'open', 'cancelled']

/** Mulberry32: a small generator, so that the files come out the same everywhere. */
function generator(seed) {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit)
  }
}

function csv(rows) {
  const field = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)
  return rows.map((row) => `${row.map(field).join(',')}\n`).join('')
}

const pick = generator(20_240_607)
const orders = [['order', 'date', 'country', 'product', 'quantity', 'unit_price', 'status', 'note']]
for (let i = 0; i < ROWS; i++) {
  const [product, cents] = PRODUCTS[pick(PRODUCTS.length)]
  const country = pick(100) === 0 ? 'XX' : COUNTRIES[pick(COUNTRIES.length)][0]
  const date = new Date(Date.UTC(2024, 0, 1 + pick(366))).toISOString().slice(0, 10)
  const discount = pick(4) === 0 ? 0.9 : 1
  const price = (Math.round(cents * discount) / 100).toFixed(2)
  const status = STATUS[pick(STATUS.length)]
  orders.push([
    `A${10_000 + i}`,
    date,
    country,
    product,
    String(1 + pick(9)),
    price,
    status,
    NOTES[pick(NOTES.length)],
  ])
}

const here = new URL('.', import.meta.url)
writeFileSync(new URL('orders.csv', here), csv(orders))
writeFileSync(new URL('countries.csv', here), csv([['code', 'name', 'region'], ...COUNTRIES]))
