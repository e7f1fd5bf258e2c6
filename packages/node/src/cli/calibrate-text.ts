/** The report of a calibration as text. */
import type { CalibrationReport } from 'assay/method/trace/calibration/calibrate'
import { type PowerRates, RATE_CONFIDENCE, type Rate } from 'assay/method/trace/calibration/power'
import { formatCount, formatPercent, type Style, styleFor, table } from './style.ts'

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
    style.strong(`Honest runs refused, with ${formatPercent(RATE_CONFIDENCE)} intervals`),
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
    ...(exact.length === 0 ? [] : [`  equal in every run: ${exact.map(({ name }) => name).join(', ')}`]),
  ]
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
