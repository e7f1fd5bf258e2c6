/**
 * What `assay generate verify` says of a text.
 */
import { toHex } from 'assay/core/bytes'
import type { Json, Rejection } from 'assay/core/errors'
import type { Judgement } from 'assay/method/generation/verifier'
import type { Outcome } from './command.ts'
import { remedyOf } from './exit.ts'
import { formatCount, formatDuration, formatNumber, type Style, table } from './style.ts'

export interface CheckedText {
  readonly verifyMs: number
  readonly solver?: string
  readonly fingerprints?: number
  readonly seed?: Uint8Array | null
  readonly isSeedOurs?: boolean
  readonly isNonceInsisted?: boolean
  readonly text?: string | null
}

/** The outcome of a check; `checked` says how it was made. */
export function outcomeOf(
  verdict: { readonly ok: true; readonly value: Judgement } | Rejection,
  checked: CheckedText,
): Outcome {
  const { seed = null, isSeedOurs = false, isNonceInsisted = false, verifyMs } = checked
  const context = {
    verifyMs,
    solver: checked.solver ?? null,
    seed: seed === null ? null : toHex(seed),
    isSeedOurs,
    isNonceInsisted,
    text: checked.text ?? null,
  }
  if (!verdict.ok) {
    const { code, message, detail } = verdict
    const evidence: Json = { code, message, detail }
    return {
      exitCode: 1,
      json: { isVerified: false, ...context, evidence },
      text: (style) =>
        [`${style.bad('✘')} rejected: ${code}: ${message}`, style.faint(`  ${remedyOf(code)}`)].join('\n'),
    }
  }
  const figures = figuresOf(verdict.value, checked.fingerprints ?? 0)
  return {
    exitCode: 0,
    json: { isVerified: true, ...context, ...figures, evidence: null },
    text: (style) => describeAccepted({ figures, checked }, style),
  }
}

function figuresOf({ tokens, disagreements, allowed, ...measured }: Judgement, fingerprints: number) {
  return {
    tokens,
    disagreements,
    allowed,
    fingerprints,
    largestTokenDistance: measured.tokenDistances.reduce((most, distance) => Math.max(most, distance), 0),
    exponentMismatches: measured.fingerprintDistances.reduce(
      (sum, found) => sum + found.exponentMismatches,
      0,
    ),
  }
}

function describeAccepted(
  { figures, checked }: { readonly figures: ReturnType<typeof figuresOf>; readonly checked: CheckedText },
  style: Style,
): string {
  const { tokens, disagreements, allowed, fingerprints, largestTokenDistance } = figures
  const lines = [
    `${style.good('✔')} ${formatCount(tokens)} tokens are those that model, prompt and rule give, checked in ${formatDuration(checked.verifyMs)}`,
    table([
      ['tokens that differ', `${formatCount(disagreements)}, ${formatCount(allowed)} allowed`],
      ['largest distance', formatNumber(largestTokenDistance, 3)],
      [
        'fingerprints',
        fingerprints === 0 ? 'none: the model gives no hidden state' : `${formatCount(fingerprints)} match`,
      ],
      ['solver', checked.solver ?? ''],
    ]),
  ]
  if (!checked.isSeedOurs) {
    lines.push(
      style.faint(
        '  The seed is the one that the solver states: it may have tried many. Draw it yourself (--seed).',
      ),
    )
  }
  if (!checked.isNonceInsisted) {
    lines.push(style.faint('  The nonce was not insisted on: this may be an old text (--nonce).'))
  }
  return lines.join('\n')
}
