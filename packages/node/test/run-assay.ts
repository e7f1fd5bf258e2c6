/**
 * Runs the built command line as a user would: another process, its exit code, its two streams.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const COMMAND_LINE = fileURLToPath(new URL('../bin/assay.js', import.meta.url))
export const DIGITS = fileURLToPath(new URL('../../../examples/digits/', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly cwd: string
  readonly env?: { readonly [name: string]: string }
  /** Sent as soon as the process writes this to standard error. */
  readonly interruptOn?: RegExp
}

/** A folder of its own, in which nothing of the user's is touched: keys go there, too. */
export function workFolder(): string {
  return mkdtempSync(join(tmpdir(), 'assay-cli-'))
}

export function assay(args: readonly string[], { cwd, env = {}, interruptOn }: RunOptions): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [COMMAND_LINE, ...args], {
      cwd,
      env: { PATH: process.env.PATH ?? '', HOME: cwd, XDG_CONFIG_HOME: join(cwd, 'config'), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    let interrupted = false
    child.stdout.on('data', (chunk) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      stderr += chunk
      if (!interrupted && interruptOn?.test(stderr)) interrupted = child.kill('SIGINT')
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** The one JSON object that `--json` printed. Throws where standard output holds anything else. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of any shape
export function jsonOf({ stdout }: Outcome): any {
  if (stdout.trim().split('\n').length !== 1) throw new Error(`expected one line of JSON, got:\n${stdout}`)
  return JSON.parse(stdout)
}

/** A failure as everybody may rely on it: typed, with a code and what to do, and no stack trace. */
export function failureOf(outcome: Outcome): { readonly code: string; readonly message: string } {
  const { error } = jsonOf(outcome)
  if (outcome.code !== 2) throw new Error(`expected exit code 2, got ${outcome.code}: ${outcome.stdout}`)
  if (/^\s+at /m.test(outcome.stdout + outcome.stderr)) throw new Error(`a stack trace:\n${outcome.stderr}`)
  if (typeof error.remedy !== 'string' || error.remedy === '') throw new Error(`no remedy: ${outcome.stdout}`)
  return error
}
