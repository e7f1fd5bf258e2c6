/**
 * Text for people: colours, aligned tables, and figures with units. Colours follow NO_COLOR and FORCE_COLOR
 * (no-color.org), and are left out where the output is no terminal.
 */

export interface Style {
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
  readonly strong: (text: string) => string
  readonly faint: (text: string) => string
}

const plain = (text: string): string => text
const PLAIN: Style = { good: plain, bad: plain, strong: plain, faint: plain }

const paint = (open: number, close: number) => (text: string) => `\u001b[${open}m${text}\u001b[${close}m`
const COLOURED: Style = { good: paint(32, 39), bad: paint(31, 39), strong: paint(1, 22), faint: paint(2, 22) }

export function styleFor(
  stream: { readonly isTTY?: boolean },
  environment: { readonly [name: string]: string | undefined },
): Style {
  const { NO_COLOR, FORCE_COLOR, TERM } = environment
  if (NO_COLOR !== undefined && NO_COLOR !== '') return PLAIN
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '0' && FORCE_COLOR !== '') return COLOURED
  return stream.isTTY === true && TERM !== 'dumb' ? COLOURED : PLAIN
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the colours above
const COLOURS = /\u001b\[\d+m/g

function widthOf(text: string): number {
  return text.replace(COLOURS, '').length
}

function padTo(text: string, width: number, align: 'left' | 'right'): string {
  const padding = ' '.repeat(Math.max(0, width - widthOf(text)))
  return align === 'left' ? text + padding : padding + text
}

/** Rows in aligned columns, indented by two: the first column to the left, the others as told. */
export function table(rows: readonly (readonly string[])[], align: 'left' | 'right' = 'left'): string {
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => widthOf(row[column] ?? ''))),
  )
  return rows
    .map((row) => row.map((cell, column) => padTo(cell, widths[column] ?? 0, column === 0 ? 'left' : align)))
    .map((cells) => `  ${cells.join('  ')}`.trimEnd())
    .join('\n')
}

/** 1797 as 1,797. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US', { maximumFractionDigits: 0 })
}

/** Three digits that matter; what is not 100 % is never shown as 100 %, and what is not 0 % never as 0 %. */
export function formatPercent(share: number): string {
  if (share === 0 || share === 1) return `${share * 100} %`
  if (share > 0.99) {
    const missing = (1 - share) * 100
    const digits = Math.min(12, Math.max(2, Math.ceil(-Math.log10(missing)) + 1))
    return `${trimZeros((100 - missing).toFixed(digits))} %`
  }
  return `${trimZeros((share * 100).toPrecision(3))} %`
}

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return unit === 0 ? `${formatCount(bytes)} bytes` : `${trimZeros(value.toPrecision(3))} ${units[unit]}`
}

export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1) return `${trimZeros(milliseconds.toPrecision(2))} ms`
  if (milliseconds < 10_000) return `${formatCount(Math.round(milliseconds))} ms`
  return `${(milliseconds / 1000).toFixed(1)} s`
}

/** A plain number with at most `digits` significant digits. */
export function formatNumber(value: number, digits = 6): string {
  return Number.isInteger(value) ? formatCount(value) : trimZeros(value.toPrecision(digits))
}

function trimZeros(text: string): string {
  if (text.includes('e')) return String(Number(text))
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
