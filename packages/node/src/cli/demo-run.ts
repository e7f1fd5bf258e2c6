/**
 * Runs the demo: plain inference, three solvers, three verifications, one receipt, all in this process and on
 * one runtime (demo-measure.ts says how the times come about).
 */
import { toHex } from 'assay/core/bytes'
import type { Json } from 'assay/core/errors'
import { ed25519KeyPair, nodeId } from 'assay/core/keys'
import { DEFAULT_FALSE_POSITIVE_RATE, DEFAULT_VERIFICATION_RATIO } from 'assay/method/sampling/messages'
import type { Solution } from 'assay/method/sampling/prover'
import { type Verification, verifyLazy } from 'assay/method/sampling/verifier'
import { openBatch } from 'assay/onnx/batch'
import { onnxBatch } from 'assay/onnx/onnx-task'
import { signReceipt } from 'assay/receipt/sign'
import type { NamedTensors } from 'assay/state/tensors'
import type { Session } from './command.ts'
import { measureHonest, type Timed, time } from './demo-measure.ts'
import {
  runSolver,
  SOLVERS,
  type SolverName,
  type SolverParts,
  type SolveTerms,
  solverParts,
} from './demo-solvers.ts'
import { accuracyOf, type Digits } from './digits.ts'
import { openRuntime, type RuntimeName } from './onnx-runtime.ts'
import { seedFromText } from './randomness.ts'

/** Verifications are short, so that the first one is mostly the engine compiling; the best of these counts. */
const VERIFY_TURNS = 3

export interface DemoTerms {
  readonly digits: Digits
  readonly runtime: RuntimeName
  readonly confidence: number
  readonly faked: number
  readonly seed: string
}

export interface SolverReport {
  readonly name: SolverName
  readonly verification: Verification
  readonly nodeId: string
  /** Over all images, and over those that took no part in the training. */
  readonly accuracyAll: number
  readonly accuracy: number
  readonly proofBytes: number
  readonly plainMs: number
  readonly solveMs: number
  readonly verifyMs: number
  readonly verifierShare: number
  /** Verified if honest, rejected if not. */
  readonly isRight: boolean
}

export interface DemoReport {
  readonly reports: { readonly [name in SolverName]: SolverReport }
  readonly states: number
  readonly plainMs: number
  readonly runtimeVersion: string
  /** Of the honest run. */
  readonly receipt: { readonly [key: string]: Json }
  readonly verifier: string
}

export async function runDemo(terms: DemoTerms, session: Session): Promise<DemoReport> {
  const { digits, runtime, seed } = terms
  const batch = await openBatch(digits.model, await openRuntime(runtime))
  try {
    const task = onnxBatch(batch)
    const request = { solverInput: digits.inputs, falsePositiveRate: DEFAULT_FALSE_POSITIVE_RATE }
    const solving = { task, request, faked: terms.faked, signal: session.signal }
    const measured = await measureHonest(
      { ...solving, onProgress: progressOf(session, 'honest') },
      { batch, parts: solverParts(seed, 'honest') },
    )
    const reports: { [name in SolverName]?: SolverReport } = {}
    let receipt = {}
    for (const name of SOLVERS) {
      const parts = solverParts(seed, name)
      const timed =
        name === 'honest'
          ? measured
          : await time(() => runSolver(name, parts, { ...solving, onProgress: progressOf(session, name) }))
      const checked = await verify({ terms, solving, parts, solution: timed.value })
      reports[name] = reportOf(name, {
        terms,
        parts,
        solution: timed.value,
        solveMs: timed.ms,
        plainMs: measured.plainMs,
        checked,
      })
      if (name === 'honest') receipt = await checked.receipt()
    }
    return {
      reports: reports as DemoReport['reports'],
      states: task.states(digits.inputs),
      plainMs: measured.plainMs,
      runtimeVersion: batch.runtime.version,
      receipt,
      verifier: nodeId(verifierKey(seed).publicKey),
    }
  } finally {
    await batch.close()
  }
}

function progressOf(session: Session, name: SolverName) {
  return (done: number, total: number) => session.progress(`${name} solver`, done, total)
}

function verifierKey(seed: string) {
  return ed25519KeyPair(seedFromText(seed, 'demo verifier key'))
}

interface VerifyParts {
  readonly terms: DemoTerms
  readonly solving: Omit<SolveTerms, 'onProgress'>
  readonly parts: SolverParts
  readonly solution: Solution<NamedTensors, NamedTensors>
}

async function verify({ terms, solving, parts, solution }: VerifyParts) {
  const { confidence, faked, seed } = terms
  const { task, request: solverRequest, signal } = solving
  const { commitment, response } = solution
  const request = { solverRequest, ...response, verificationRatio: DEFAULT_VERIFICATION_RATIO }
  const receivedAtSeconds = Math.floor(Date.now() / 1000)
  const options = { job: parts.job, commitment, seed: parts.challenge, ask: { confidence, faked }, signal }
  const turns: Timed<Verification>[] = []
  for (let turn = 0; turn < VERIFY_TURNS; turn++) {
    turns.push(await time(() => verifyLazy(task, request, options)))
  }
  const { value: verification, ms } = turns.reduce((best, turn) => (turn.ms < best.ms ? turn : best))
  const receipt = async () => ({
    ...(await signReceipt(
      {
        task,
        request,
        commitment,
        verification,
        seed: { kind: 'local', seed: toHex(parts.challenge) },
        receivedAtSeconds,
        issuedAt: new Date(),
      },
      verifierKey(seed),
    )),
  })
  return { verification, verifyMs: ms, receipt }
}

interface ReportParts {
  readonly terms: DemoTerms
  readonly parts: SolverParts
  readonly solution: Solution<NamedTensors, NamedTensors>
  readonly plainMs: number
  readonly solveMs: number
  readonly checked: { readonly verification: Verification; readonly verifyMs: number }
}

function reportOf(name: SolverName, given: ReportParts): SolverReport {
  const { terms, parts, solution, plainMs, solveMs, checked } = given
  const { labels, test } = terms.digits
  const { verification, verifyMs } = checked
  const { solverOutput, solverProof } = solution.response
  const { check, response } = verification
  return {
    name,
    verification,
    nodeId: nodeId(parts.key.publicKey),
    accuracy: accuracyOf(solverOutput, { labels, rows: test }),
    accuracyAll: accuracyOf(solverOutput, { labels, rows: Array(check.states).keys() }),
    proofBytes: Buffer.byteLength(solverProof.bloomFilter, 'base64'),
    plainMs,
    solveMs,
    verifyMs,
    verifierShare: check.samples / check.states,
    isRight: response.isVerified === (name === 'honest'),
  }
}
