/**
 * The report of a calibration as one HTML page: plots are inline SVG, nothing is loaded, nothing runs.
 *
 * Threat: names of tensors come from the model file. Everything that is written into the page is escaped.
 */
import type { CalibrationReport } from 'assay/method/trace/calibration/calibrate'
import type { Rate } from 'assay/method/trace/calibration/power'
import { describeRate, scientific } from './calibrate-text.ts'
import { formatCount, formatPercent } from './style.ts'

type Layer = CalibrationReport['layers'][number]

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}code{font-size:.85em;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:.9em}td,th{padding:.25rem .6rem;border-bottom:1px solid #d0d7de;text-align:right}
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:#1b1f24}
.d{stroke:#0969da;stroke-opacity:.35;stroke-width:8;stroke-linecap:round}.t{stroke:#cf222e;stroke-width:2}.g{stroke:#d0d7de}.b0{fill:#0969da}.b1{fill:#1a7f37}.b2{fill:#9a6700}.i{stroke:#1b1f24}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}svg text{fill:#e6edf3}td,th{border-color:#30363d}.g{stroke:#30363d}.i{stroke:#e6edf3}}`

export function reportPage(report: CalibrationReport): string {
  const { profile, heldOut } = report
  const provers = profile.provers.map(({ name, machine }) => `${name} on ${machine || 'an unknown machine'}`)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Calibration report</title><style>${STYLE}</style></head><body>
<h1>Calibration report</h1>
<p>Model <code>${escapeHtml(profile.model)}</code>, ${escapeHtml(profile.dtype)}, ${escapeHtml(profile.date)}.<br>
Verifier: ${escapeHtml(profile.verifier.runtime)} ${escapeHtml(profile.verifier.version)}. Provers: ${escapeHtml(provers.join('; '))}.<br>
${formatCount(profile.samples)} rows for tolerances, ${formatCount(heldOut)} others for rates. Each tolerance is
exceeded by honest rows with probability at most ${formatPercent(profile.alpha)}, and is then multiplied by ${profile.safety}.</p>
<h2>Distances of single nodes, run again on committed inputs</h2>
<p>Each dot is an honest row, the largest distance of its configurations; the bar is the tolerance.</p>
${distancePlot(report.layers)}
${layerTable(report.layers)}
<h2>Outputs of whole runs</h2>
${distancePlot(report.outputs)}
<h2>Distances between whole runs, where differences add up</h2>
${distancePlot(report.wholeRun)}
<h2>Cheats caught</h2>
<p>Of ${formatCount(heldOut)} rows, with 95 % intervals: one node drawn by its cost (blue), all nodes (green), the output of a whole
run (ochre). The first group is honest rows that were refused.</p>
${detectionPlot(report)}
${cheatTable(report)}
</body></html>
`
}

const WIDTH = 900
const LABELS = 230
const ROW = 18

/** Horizontal strips on a common logarithmic axis; what is 0 stands at its left end. */
function distancePlot(all: readonly Layer[]): string {
  const layers = all.filter(({ max, threshold }) => max > 0 || (threshold ?? 0) > 0)
  const positive = layers
    .flatMap(({ distances, threshold }) => [...distances, threshold ?? 0])
    .filter((x) => x > 0)
  if (positive.length === 0) return '<p>All tensors are equal in every run.</p>'
  const low = Math.floor(Math.log10(positive.reduce((a, b) => Math.min(a, b)))) - 1
  const high = Math.ceil(Math.log10(positive.reduce((a, b) => Math.max(a, b))))
  const x = (value: number) =>
    round(
      LABELS +
        ((Math.max(low, value > 0 ? Math.log10(value) : low) - low) / (high - low)) * (WIDTH - LABELS - 20),
    )
  const bottom = layers.length * ROW + 6
  const grid = Array.from({ length: high - low + 1 }, (_, i) => {
    const at = x(10 ** (low + i))
    const label = i === 0 ? '0' : `1e${low + i}`
    return `<line class="g" x1="${at}" x2="${at}" y1="0" y2="${bottom}"/><text x="${at}" y="${bottom + 14}" text-anchor="middle">${label}</text>`
  })
  const strips = layers.map((layer, i) => {
    const y = i * ROW + 12
    const places = [...new Set(layer.distances.map((value) => 2 * Math.round(x(value) / 2)))]
    const dots = `<path class="d" d="${places.map((place) => `M${place} ${y}h0`).join('')}"/>`
    const at = layer.threshold === null ? undefined : x(layer.threshold)
    const bar = at === undefined ? '' : `<line class="t" x1="${at}" x2="${at}" y1="${y - 7}" y2="${y + 7}"/>`
    return `<text x="${LABELS - 10}" y="${y + 4}" text-anchor="end">${escapeHtml(shorten(`${layer.name} (${layer.operator})`))}</text>${dots}${bar}`
  })
  const equal = all.length - layers.length
  const note = equal === 0 ? '' : `<p>${formatCount(equal)} further tensors are equal in every run.</p>`
  return svg(bottom + 20, 'Honest distances and tolerances of each tensor', [...grid, ...strips]) + note
}

interface Group {
  readonly name: string
  readonly rates: readonly Rate[]
  /** Whether the rates count what passed. */
  readonly isMissed: boolean
}

/** Grouped bars of detection with whiskers. */
function detectionPlot({ cheats, falseAlarms }: CalibrationReport): string {
  const groups: Group[] = [
    { name: 'honest, refused', rates: Object.values(falseAlarms) as Rate[], isMissed: false },
    ...cheats.map(({ name, missed }) => ({ name, rates: Object.values(missed) as Rate[], isMissed: true })),
  ]
  const bar = 8
  const step = 3 * bar + 12
  const x = (share: number) => round(LABELS + share * (WIDTH - LABELS - 20))
  const bottom = groups.length * step + 4
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<line class="g" x1="${x(share)}" x2="${x(share)}" y1="0" y2="${bottom}"/><text x="${x(share)}" y="${bottom + 14}" text-anchor="middle">${share * 100} %</text>`,
  )
  const bars = groups.flatMap(({ name, rates, isMissed }, group) => {
    const turn = (value: number) => (isMissed ? 1 - value : value)
    const label = `<text x="${LABELS - 10}" y="${group * step + 20}" text-anchor="end">${escapeHtml(shorten(name))}</text>`
    return [
      label,
      ...rates.map(({ rate, interval }, i) => {
        const y = group * step + 4 + i * bar
        const [from, to] = [x(turn(interval.lower)), x(turn(interval.upper))]
        return `<rect class="b${i}" x="${LABELS}" y="${y}" width="${round(x(turn(rate)) - LABELS)}" height="${bar - 1}"/><line class="i" x1="${from}" x2="${to}" y1="${y + 3.5}" y2="${y + 3.5}"/>`
      }),
    ]
  })
  return svg(bottom + 20, 'Share of runs that were refused', [...grid, ...bars])
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeHtml(title)}"><title>${escapeHtml(title)}</title>${parts.join('')}</svg>`
}

function layerTable(layers: readonly Layer[]): string {
  return tableOf(
    ['tensor', 'operator', 'share of the work', 'median', 'largest', 'tolerance'],
    layers
      .filter(({ max }) => max > 0)
      .map(({ name, operator, costShare, median, max, threshold }) => [
        name,
        operator,
        formatPercent(costShare),
        scientific(median),
        scientific(max),
        threshold === null ? '' : scientific(threshold),
      ]),
  )
}

function cheatTable({ cheats, falseAlarms }: CalibrationReport): string {
  const cells = (rates: object) => (Object.values(rates) as Rate[]).map(describeRate)
  return `${tableOf(
    ['cheat', 'passed: one node drawn', 'all nodes', 'output', 'draws for 99 %'],
    cheats.map(({ description, missed, draws }) => [
      description,
      ...cells(missed),
      draws === null ? 'never' : formatCount(draws),
    ]),
  )}${tableOf(['honest', 'refused: one node drawn', 'all nodes', 'output'], [['any prover', ...cells(falseAlarms)]])}`
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`
  return `<table><thead>${line(head, 'th')}</thead><tbody>${rows.map((row) => line(row, 'td')).join('')}</tbody></table>`
}

function shorten(text: string): string {
  return text.length > 34 ? `…${text.slice(-33)}` : text
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
