/**
 * What every command is: a function from options to an outcome. Commands print nothing themselves; main.ts
 * prints the outcome, as text or as JSON, and turns it into an exit code.
 */

import type { Json } from 'assay/core/errors'
import { Command } from 'commander'
import type { Style } from './style.ts'

export interface Outcome {
  /** 1 where something was checked and found wanting; 0 otherwise. */
  readonly exitCode: 0 | 1
  /** What `--json` prints. */
  readonly json: { readonly [key: string]: Json }
  /** What a person reads. Not called with `--json`. */
  readonly text: (style: Style) => string
}

/** What a command may use of the terminal it runs in. */
export interface Session {
  /** Aborted by Ctrl+C. */
  readonly signal: AbortSignal
  /** Shows how far the work is, on a terminal; does nothing in a pipe. */
  readonly progress: (label: string, done: number, total: number) => void
  /** One line on standard error, for what is neither result nor error. Not printed with `--json`. */
  readonly note: (line: string) => void
}

type Action<Options> = (options: Options, session: Session, operands: readonly string[]) => Promise<Outcome>

/** Registers an action with a command: main.ts supplies it. */
export type Perform = <Options extends object>(
  action: Action<Options>,
) => (...received: unknown[]) => Promise<void>

/** Builds one command. */
export type AddCommand = (perform: Perform) => Command

export interface HelpPage {
  readonly summary: string
  readonly description: string
  /** Command lines that work, each with what it is for. */
  readonly examples: readonly (readonly [purpose: string, line: string])[]
  /** What the exit codes mean here. */
  readonly exits: readonly (readonly [code: number, meaning: string])[]
}

/** A command with `--json`, and with examples and exit codes under its options. */
export function describedCommand(name: string, page: HelpPage): Command {
  const examples = page.examples.map(([purpose, line]) => `  # ${purpose}\n  ${line}`).join('\n\n')
  const exits = page.exits.map(([code, meaning]) => `  ${code}  ${meaning}`).join('\n')
  return new Command(name)
    .summary(page.summary)
    .description(page.description)
    .option('--json', 'print one JSON object, and nothing else, on standard output')
    .addHelpText('after', `\nExamples:\n${examples}\n\nExit codes:\n${exits}`)
}

export const USAGE_EXIT = [2, 'bad input or usage; the message says what to do'] as const
