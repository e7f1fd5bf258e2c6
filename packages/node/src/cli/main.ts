/**
 * The `assay` program: its commands, how they are run, and what the process says when they end.
 *
 * Exit codes: 0 verified or done, 1 rejected, 2 bad input or usage, 130 interrupted.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import type { AddCommand, Perform } from './command.ts'
import { EXIT } from './exit.ts'
import { openOutput, tolerateClosedPipes } from './output.ts'

/** By name, in the order of the help. Loaded when needed: most commands need neither a runtime nor a curve. */
const COMMANDS: { readonly [name: string]: () => Promise<AddCommand> } = {
  demo: async () => (await import('./demo.ts')).demoCommand,
  solve: async () => (await import('./solve.ts')).solveCommand,
  verify: async () => (await import('./verify.ts')).verifyCommand,
  plan: async () => (await import('./plan.ts')).planCommand,
  simulate: async () => (await import('./simulate.ts')).simulateCommand,
  inspect: async () => (await import('./inspect.ts')).inspectCommand,
  trace: async () => (await import('./trace.ts')).traceCommand,
  challenge: async () => (await import('./trace-challenge.ts')).traceChallengeCommand,
  open: async () => (await import('./trace-open.ts')).traceOpenCommand,
  check: async () => (await import('./trace-check.ts')).traceCheckCommand,
  generate: async () => (await import('./generate.ts')).generateCommand,
  calibrate: async () => (await import('./calibrate.ts')).calibrateCommand,
  up: async () => (await import('./up.ts')).upCommand,
  coordinator: async () => (await import('./coordinator.ts')).coordinatorCommand,
  node: async () => (await import('./node.ts')).nodeCommand,
  verifier: async () => (await import('./verifier.ts')).verifierCommand,
  submit: async () => (await import('./submit.ts')).submitCommand,
  job: async () => (await import('./job.ts')).jobCommand,
  ledger: async () => (await import('./ledger.ts')).ledgerCommand,
  log: async () => (await import('./log.ts')).logCommand,
  backup: async () => (await import('./backup.ts')).backupCommand,
  restore: async () => (await import('./backup.ts')).restoreCommand,
  doctor: async () => (await import('./doctor.ts')).doctorCommand,
  receipt: async () => (await import('./receipt.ts')).receiptCommand,
  key: async () => (await import('./key.ts')).keyCommand,
}

/** Runs one command line, without the program's name, and returns the exit code of the process. */
export async function main(args: readonly string[]): Promise<number> {
  tolerateClosedPipes()
  const interrupted = abortOnInterrupt()
  const output = openOutput({ json: asksForJson(args) })
  let exitCode: number = EXIT.ok
  const perform: Perform =
    (action) =>
    async (...received) => {
      const command = received.at(-1) as Command
      const outcome = await action(
        command.optsWithGlobals(),
        output.session(interrupted.signal),
        command.args,
      )
      output.outcome(outcome)
      exitCode = outcome.exitCode
    }
  try {
    const program = await createProgram(perform, args[0])
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    // Help and version end in an error of code 0, too.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok
    // A command without its subcommand: the help on standard error says all.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.usage
    return output.failure(error)
  } finally {
    interrupted.dispose()
  }
}

/** The program with the one command that is asked for, or with all of them where it is not clear which. */
async function createProgram(perform: Perform, asked: string | undefined): Promise<Command> {
  const program = new Command('assay')
    .description(
      'Verifiable compute by sampling: run a job on machines that you do not control, check a sample of it, ' +
        'and know how sure you can be.',
    )
    .version(packageVersion(), '--version', 'print the version')
    .addHelpText(
      'after',
      '\nStart with `assay demo`. `assay COMMAND --help` explains a command and shows an example.\n\n' +
        'Exit codes:\n  0  verified, or done\n  1  rejected\n  2  bad input or usage',
    )
  const names = Object.keys(COMMANDS)
  for (const name of asked !== undefined && names.includes(asked) ? [asked] : names) {
    const add = await (COMMANDS[name] as () => Promise<AddCommand>)()
    program.addCommand(add(perform))
  }
  harden(program)
  return program
}

/** Failures are thrown, and told by output.ts alone; a mistyped option never goes unnoticed. */
function harden(command: Command): void {
  command.exitOverride().configureOutput({ outputError: () => {} })
  command.allowExcessArguments(false)
  for (const child of command.commands) harden(child)
}

/** Read before parsing, since a command line that cannot be parsed must be refused in the form asked for. */
function asksForJson(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end < 0 ? args : args.slice(0, end)).includes('--json')
}

/** Ctrl+C asks the work to stop; a second one ends the process at once. */
function abortOnInterrupt(): { readonly signal: AbortSignal; readonly dispose: () => void } {
  const controller = new AbortController()
  const onInterrupt = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted)
    controller.abort(new Error('interrupted'))
  }
  process.on('SIGINT', onInterrupt)
  return { signal: controller.signal, dispose: () => process.off('SIGINT', onInterrupt) }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
