/**
 * Exit codes, and how a failure is told: its code, what happened, what to do; a stack trace only with DEBUG.
 */

import { AssayError, CORE_ERRORS, type ErrorEntry, type Json } from 'assay/core/errors'
import { GENERATION_ERRORS } from 'assay/method/generation/errors'
import { REDUNDANCY_ERRORS } from 'assay/method/redundancy/errors'
import { SAMPLING_ERRORS } from 'assay/method/sampling/errors'
import { CALIBRATION_ERRORS } from 'assay/method/trace/calibration/errors'
import { TRACE_ERRORS } from 'assay/method/trace/errors'
import { ONNX_ERRORS } from 'assay/onnx/errors'
import { RECEIPT_ERRORS } from 'assay/receipt/errors'
import { JOB_RECEIPT_ERRORS } from 'assay/receipt/job/errors'
import { LOG_ERRORS } from 'assay/receipt/log/errors'
import { STATE_ERRORS } from 'assay/state/errors'
import { TASK_ERRORS } from 'assay/task/errors'
import { WASM_ERRORS } from 'assay/wasm/errors'
import { WIRE_ERRORS } from 'assay/wire/errors'
import { CommanderError } from 'commander'
import { COORDINATOR_ERRORS } from '../coordinator/errors.ts'
import { LIFE_ERRORS } from '../coordinator/life/errors.ts'
import { TRUST_ERRORS } from '../coordinator/trust/errors.ts'
import { EXECUTOR_ERRORS } from '../executor/errors.ts'
import { SERVICE_ERRORS } from '../service/errors.ts'
import { STORE_ERRORS } from '../store/errors.ts'
import { WORK_ERRORS } from '../work/errors.ts'
import { CLI_ERRORS } from './errors.ts'
import type { Style } from './style.ts'

export const EXIT = {
  /** Verified, or done. */
  ok: 0,
  /** Looked at, and rejected. */
  rejected: 1,
  /** Bad input or usage. */
  usage: 2,
  /** Ended by Ctrl+C: 128 and the number of SIGINT. */
  interrupted: 130,
} as const

const ENTRIES: { readonly [code: string]: ErrorEntry } = {
  ...CORE_ERRORS,
  ...STATE_ERRORS,
  ...TASK_ERRORS,
  ...ONNX_ERRORS,
  ...SAMPLING_ERRORS,
  ...CALIBRATION_ERRORS,
  ...TRACE_ERRORS,
  ...GENERATION_ERRORS,
  ...RECEIPT_ERRORS,
  ...REDUNDANCY_ERRORS,
  ...JOB_RECEIPT_ERRORS,
  ...LOG_ERRORS,
  ...WASM_ERRORS,
  ...WIRE_ERRORS,
  ...SERVICE_ERRORS,
  ...STORE_ERRORS,
  ...WORK_ERRORS,
  ...EXECUTOR_ERRORS,
  ...TRUST_ERRORS,
  ...LIFE_ERRORS,
  ...COORDINATOR_ERRORS,
  ...CLI_ERRORS,
}

export interface Failure {
  readonly code: string
  readonly message: string
  readonly remedy: string
  readonly detail: { readonly [key: string]: Json }
  readonly exitCode: number
}

/** What to do about an error code; empty for a code that is not ours. */
export function remedyOf(code: string): string {
  return ENTRIES[code]?.remedy ?? ''
}

export function failureOf(error: unknown): Failure {
  const { code, message, detail } = typedError(error).toJSON()
  const exitCode = code === 'task/cancelled' ? EXIT.interrupted : EXIT.usage
  return { code, message, remedy: remedyOf(code), detail, exitCode }
}

function typedError(error: unknown): AssayError {
  if (error instanceof AssayError) return error
  if (error instanceof CommanderError) {
    return new AssayError('cli/usage', error.message.replace(/^error: /, ''), { cause: error })
  }
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return new AssayError('cli/internal', message, { cause: error })
}

export function describeFailure({ code, message, remedy }: Failure, style: Style): string {
  const lines = [`${style.bad('error')} ${style.strong(code)}: ${message}`]
  if (remedy !== '') lines.push(`${style.faint('what to do:')} ${remedy}`)
  return lines.join('\n')
}
