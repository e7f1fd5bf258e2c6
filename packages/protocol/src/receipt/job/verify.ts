/**
 * Checking the receipt of a job offline.
 *
 * What holds afterwards: the coordinator named signed this statement; everything in it that follows from something else
 * in it does (derive.ts); each execution that came with it was signed by its node, for this task and this output
 * (executions.ts); each verifier's receipt that came with it holds and is the one that the statement names; the outputs
 * at hand are the accepted ones, in order. How many of these came is told with the verdict: what did not come was not
 * checked. What never follows from a receipt is said in it (`assurance.doesNotProve`).
 *
 * Threat: envelope and bundle come from anybody. The signature is checked before anything that costs: after it, at most
 * one signature for each execution and each verifier's receipt, and the hashing of the outputs.
 */
import { attempt, type Rejection, reject, type Verdict } from '../../core/errors.ts'
import { decodePublicKey } from '../../core/key-file.ts'
import { type NodeId, nodeId, verifySignature } from '../../core/keys.ts'
import { PAYLOAD_TYPE, parseEnvelope, preAuthEncoding } from '../envelope.ts'
import { parseShallowJson } from '../shallow-json.ts'
import { checkDerivations } from './derive.ts'
import { type BundleExecution, checkExecutions, type Evidence } from './executions.ts'
import { checkOutputs } from './outputs.ts'
import { type JobStatement, MAX_JOB_PAYLOAD_BYTES, parseJobStatement } from './statement.ts'
import { checkVerdicts } from './verdicts.ts'

export interface VerifyJobOptions {
  /** Node id of the coordinator whose receipt it must be; without it any signer's holds. */
  readonly signer?: string
  /** What the nodes signed, from the bundle (bundle.ts). */
  readonly executions?: readonly BundleExecution[]
  /** Receipts of the verifiers, from the bundle: DSSE envelopes. */
  readonly verdicts?: readonly unknown[]
  /** Output of every segment in order, encoded (task/rows.ts). */
  readonly outputs?: readonly Uint8Array[]
  /** The task id of the work, where the caller can compute it (wire/segment.ts). */
  readonly taskId?: string
  /** Digest of a segment's input that executions must name, where the caller can compute it (wire/segment.ts). */
  readonly inputDigest?: (segment: number) => Uint8Array
  /**
   * Refuse a receipt without the execution of each run and the receipt of each check that it names; or without as many
   * of them as a bundle has room for. An envelope alone is not refused unless this is told.
   */
  readonly requireEvidence?: Evidence
  /** Checks signatures; a service passes a native one. It must be as strict as `verifySignature`. */
  readonly verify?: typeof verifySignature
}

/** What was checked beside the statement itself. */
export interface VerifiedJob {
  readonly statement: JobStatement
  readonly coordinator: NodeId
  readonly checked: { readonly executions: number; readonly verdicts: number; readonly outputs: number }
}

/** The statement of a receipt that holds in every part, or the first reason why it does not. Never throws. */
export async function verifyJobReceipt(
  envelope: unknown,
  options: VerifyJobOptions = {},
): Promise<Verdict<VerifiedJob>> {
  const { executions = [], verdicts = [], outputs } = options
  const opened = await openStatement(envelope, options)
  if (!opened.ok) return opened
  const { statement, coordinator } = opened.value
  const { predicate } = statement
  const fault =
    taskFault(statement, options) ??
    checkDerivations(statement) ??
    (outputs === undefined ? undefined : checkOutputs(predicate, outputs)) ??
    (await checkExecutions(predicate, executions, options)) ??
    (await checkVerdicts(predicate, verdicts, options))
  if (fault !== undefined) return fault
  const checked = { executions: executions.length, verdicts: verdicts.length, outputs: outputs?.length ?? 0 }
  return { ok: true, value: { statement, coordinator, checked } }
}

/** Shape, then the signature over the exact bytes, then who signed. */
async function openStatement(
  envelope: unknown,
  { signer, verify = verifySignature }: VerifyJobOptions,
): Promise<Verdict<{ readonly statement: JobStatement; readonly coordinator: NodeId }>> {
  const read = attempt(() => {
    const opened = parseEnvelope(envelope, { maxBytes: MAX_JOB_PAYLOAD_BYTES })
    const what = { what: 'job receipt payload', maxBytes: MAX_JOB_PAYLOAD_BYTES }
    const statement = parseJobStatement(parseShallowJson(opened.payload, what))
    const key = decodePublicKey(statement.predicate.coordinator.publicKey)
    return { opened, statement, key, owner: nodeId(key) }
  })
  if (!read.ok) {
    return reject('receipt/malformed', `not a receipt of a job: ${read.message}`, { cause: read.code })
  }
  const { opened, statement, key, owner } = read.value
  const signed = await verify(key, preAuthEncoding(PAYLOAD_TYPE, opened.payload), opened.signature)
  if (!signed.ok) return reject('receipt/signature', signed.message, { cause: signed.code })
  const named = statement.predicate.coordinator.nodeId
  if (owner !== named || owner !== opened.keyid) {
    return reject(
      'receipt/signature',
      'the receipt names another coordinator than the one whose key signed it',
      {
        expected: owner,
        found: named,
      },
    )
  }
  if (signer !== undefined && signer !== owner) {
    return reject('receipt/signer', `expected a receipt of ${signer}, got one of ${owner}`, {
      expected: signer,
      found: owner,
    })
  }
  return { ok: true, value: { statement, coordinator: owner } }
}

function taskFault({ predicate }: JobStatement, { taskId }: VerifyJobOptions): Rejection | undefined {
  const found = predicate.work.taskId
  if (taskId === undefined || taskId === found) return undefined
  return reject('receipt/derivation', 'the task id is not that of the work', { expected: taskId, found })
}
