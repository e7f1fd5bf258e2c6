/**
 * The two streams: results go to standard output, as text or as one JSON object; progress, notes and errors go
 * to standard error, and progress only where that is a terminal.
 */
import { AssayError } from 'assay/core/errors'
import type { Outcome, Session } from './command.ts'
import { describeFailure, failureOf } from './exit.ts'
import { formatCount, type Style, styleFor } from './style.ts'

/** Milliseconds between two drawings of the progress line: smooth for an eye, and free. */
const PROGRESS_INTERVAL_MS = 100
const BAR_CELLS = 24

interface ProgressLine {
  readonly show: (label: string, done: number, total: number) => void
  readonly clear: () => void
}

export interface Output {
  readonly outcome: (outcome: Outcome) => void
  /** Tells the failure and returns its exit code. */
  readonly failure: (error: unknown) => number
  readonly session: (signal: AbortSignal) => Session
}

export function openOutput({ json }: { readonly json: boolean }): Output {
  const { stdout, stderr, env } = process
  const errorStyle = styleFor(stderr, env)
  const progress = progressLine(stderr, { quiet: json || stderr.isTTY !== true, style: errorStyle })
  return {
    outcome(outcome) {
      progress.clear()
      stdout.write(json ? `${JSON.stringify(outcome.json)}\n` : `${outcome.text(styleFor(stdout, env))}\n`)
    },
    failure(error) {
      progress.clear()
      const failure = failureOf(error)
      const { code, message, remedy, detail, exitCode } = failure
      if (json) stdout.write(`${JSON.stringify({ error: { code, message, remedy, detail } })}\n`)
      else stderr.write(`${describeFailure(failure, errorStyle)}\n`)
      if (env.DEBUG) stderr.write(`${stackOf(error)}\n`)
      return exitCode
    },
    session: (signal) => ({
      signal,
      progress: progress.show,
      note(line) {
        progress.clear()
        if (!json) stderr.write(`${errorStyle.faint(line)}\n`)
      },
    }),
  }
}

function progressLine(
  stream: NodeJS.WriteStream,
  { quiet, style }: { readonly quiet: boolean; readonly style: Style },
): ProgressLine {
  let drawnAt = 0
  let drawn = false
  return {
    show(label, done, total) {
      const now = performance.now()
      if (quiet || now - drawnAt < PROGRESS_INTERVAL_MS) return
      drawnAt = now
      drawn = true
      const filled = total === 0 ? 0 : Math.round((done / total) * BAR_CELLS)
      const bar = style.good('━'.repeat(filled)) + style.faint('━'.repeat(BAR_CELLS - filled))
      stream.write(`\r\u001b[2K${label} ${bar} ${formatCount(done)} of ${formatCount(total)}`)
    },
    clear() {
      if (drawn) stream.write('\r\u001b[2K')
      drawn = false
    },
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by: ${stackOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

/** A reader that closes early (`assay … | head -1`) is no failure. */
export function tolerateClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw new AssayError('cli/write', `cannot write: ${error.message}`)
    })
  }
}
