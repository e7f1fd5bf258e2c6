/**
 * The check of one run and its receipt, with everything at hand: seed, samples, verdict, signature.
 */
import { join } from 'node:path'
import { resolveBeacon } from 'assay/core/beacon'
import { AssayError } from 'assay/core/errors'
import type { KeyPair } from 'assay/core/keys'
import type { Job } from 'assay/core/poe'
import { resolveSeed, type SeedSource } from 'assay/core/seed'
import type { Ask } from 'assay/method/sampling/config'
import { DEFAULT_VERIFICATION_RATIO } from 'assay/method/sampling/messages'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { verifyAdversarial, verifyBaseline } from 'assay/method/sampling/verifier-rerun'
import { signReceipt } from 'assay/receipt/sign'
import { drawSeed } from './challenge.ts'
import type { Session } from './command.ts'
import { toJsonText, writeWhole } from './files.ts'
import { openExecutor } from './onnx-executor.ts'
import type { OnnxJob } from './onnx-job.ts'
import { RUN_FILES, type RunAnswer, type RunRequest } from './run-folder.ts'
import type { VerifyOptions } from './verify-options.ts'

const VERIFIERS = { lazy: verifyLazy, adversarial: verifyAdversarial, baseline: verifyBaseline } as const

export interface CheckParts {
  readonly options: VerifyOptions
  readonly ask: Ask | null
  readonly onnx: OnnxJob
  readonly request: RunRequest
  readonly job: Job
  readonly answer: RunAnswer
  readonly session: Session
}

export async function checkRun(parts: CheckParts) {
  const { options, ask, onnx, request, job, answer, session } = parts
  const receivedAtSeconds = Math.floor(Date.now() / 1000)
  const source = await drawSeed(options, { receivedAtSeconds, session })
  const verifierRequest = {
    solverRequest: { solverInput: onnx.inputs, falsePositiveRate: request.falsePositiveRate },
    solverOutput: answer.output,
    solverProof: answer.proof,
    verificationRatio: options.ratio ?? DEFAULT_VERIFICATION_RATIO,
  }
  const { executor, close } = await openExecutor(onnx, {
    workers: options.workers,
    session,
    label: 'verifying',
  })
  const started = performance.now()
  const verification = await VERIFIERS[options.method](onnx.task, verifierRequest, {
    job,
    commitment: answer.commitment,
    seed: seedOf(source, receivedAtSeconds),
    executor,
    signal: session.signal,
    ...(ask === null ? {} : { ask }),
  }).finally(close)
  const verifyMs = performance.now() - started
  return {
    task: onnx.task,
    request: verifierRequest,
    commitment: answer.commitment,
    verification,
    source,
    receivedAtSeconds,
    verifyMs,
    job,
  }
}

export type CheckedRun = Awaited<ReturnType<typeof checkRun>>

function seedOf(source: SeedSource, committedAtSeconds: number): Uint8Array {
  const seed = resolveSeed(source, { beacon: resolveBeacon, committedAtSeconds })
  if (!seed.ok) throw new AssayError(seed.code, seed.message, { detail: seed.detail })
  return seed.value
}

/** The path of the receipt, or null where the response never opened, so that there is nobody to name in one. */
export async function writeReceipt(
  checked: CheckedRun,
  { options, folder, key }: { options: VerifyOptions; folder: string; key: KeyPair },
): Promise<string | null> {
  const { task, request, commitment, verification, source, receivedAtSeconds } = checked
  if (verification.check.outputBinding === null) return null
  const path = options.receipt ?? join(folder, RUN_FILES.receipt)
  const envelope = await signReceipt(
    { task, request, commitment, verification, seed: source, receivedAtSeconds, issuedAt: new Date() },
    key,
  )
  await writeWhole(path, toJsonText(envelope))
  return path
}
