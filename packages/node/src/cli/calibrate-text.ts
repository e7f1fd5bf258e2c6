/** The report of a calibration as text. */
import type { CalibrationReport } from 'assay/method/trace/calibration/calibrate'
import { type PowerRates, RATE_CONFIDENCE, type Rate } from 'assay/method/trace/calibration/power'
import { formatCount, formatPercent, type Style, styleFor, table } from './style.ts'

const LISTED = 8
const PLAIN = styleFor({}, { NO_COLOR: '1' })

export function reportText(report: CalibrationReport, style: Style = PLAIN): string {
  const { profile, falseAlarms, cheats, heldOut } = report
  return [
    `${style.strong('Calibration')} of ${profile.model}`,
    '',
    table([
      ['verifier', `${profile.verifier.runtime} ${profile.verifier.version}`],
      ...profile.provers.map(({ name, runtime, version }) => ['prover', `${name} (${runtime} ${version})`]),
      ['rows', `${formatCount(profile.samples)} for tolerances, ${formatCount(heldOut)} others for rates`],
      ['alpha', `${formatPercent(profile.alpha)} of each layer, tolerances times ${profile.safety}`],
    ]),
    '',
    style.strong('Honest distances, relative to the scale of the tensor'),
    ...layerTable(report.layers, 'one node, on committed inputs'),
    ...layerTable(report.outputs, 'output of a whole run'),
    '',
    style.strong(`Honest rows refused, with ${formatPercent(RATE_CONFIDENCE)} intervals`),
    table([rateHeader(''), ['honest', ...rateCells(falseAlarms)]]),
    '',
    style.strong('Cheats that passed'),
    table([
      [...rateHeader('cheat'), 'draws for 99 %'],
      ...cheats.map(({ name, missed, draws }) => [
        name,
        ...rateCells(missed),
        draws === null ? 'never caught' : formatCount(draws),
      ]),
    ]),
    '',
    ...cheats.map(({ name, description }) => `  ${style.faint(name)}: ${description}`),
  ].join('\n')
}

function layerTable(layers: CalibrationReport['layers'], title: string): string[] {
  const exact = layers.filter(({ threshold, max }) => threshold === 0 && max === 0)
  const rows = layers.filter((layer) => !exact.includes(layer))
  return [
    '',
    table([
      [title, 'operator', 'median', 'largest', 'tolerance'],
      ...rows.map(({ name, operator, median, max, threshold }) => [
        name,
        operator,
        scientific(median),
        scientific(max),
        scientific(threshold ?? 0),
      ]),
    ]),
    ...(exact.length === 0 ? [] : [`  equal in every run: ${listOf(exact.map(({ name }) => name))}`]),
  ]
}

/** A few names, and how many more. */
function listOf(names: readonly string[]): string {
  const more = names.length - LISTED
  return names.slice(0, LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

export function scientific(value: number): string {
  return value === 0 ? '0' : value.toExponential(2)
}

function rateHeader(first: string): string[] {
  return [first, 'one node drawn', 'all nodes', 'output']
}

function rateCells({ oneNode, allNodes, endToEnd }: PowerRates): string[] {
  return [oneNode, allNodes, endToEnd].map(describeRate)
}

export function describeRate({ rate, interval }: Rate): string {
  return `${formatPercent(rate)} (${formatPercent(interval.lower)} to ${formatPercent(interval.upper)})`
}
