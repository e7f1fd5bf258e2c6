/**
 * The verifiers' own receipts (receipt/verify.ts) against the checks that a job's receipt lists.
 *
 * Threat: the coordinator, who might invent a check. Each receipt must hold, be the one whose digest the job's receipt
 * names, be signed by the verifier named, be about the same commitment, task and seed, and say what is said of it.
 */
import { toHex } from '../../core/bytes.ts'
import { attempt, type Rejection, reject } from '../../core/errors.ts'
import { commitExecution, executionFromJson } from '../../core/poe.ts'
import { receiptDigest } from '../log/entry.ts'
import type { Statement } from '../statement.ts'
import { verifyReceipt } from '../verify.ts'
import type { Evidence } from './executions.ts'
import { type CheckEntry, type JobPredicate, rowsOfSegment } from './statement.ts'

/** Verifiers' receipts that a bundle carries; each takes some 10 KB and two signatures. */
export const MAX_BUNDLE_VERDICTS = 2000

/** The first receipt that does not hold, or that the job's receipt does not list: 'job-receipt/check'. */
export async function checkVerdicts(
  predicate: JobPredicate,
  verdicts: readonly unknown[],
  options: {
    /** Refuse where the receipt of a check is missing. */
    readonly requireEvidence?: Evidence
  } = {},
): Promise<Rejection | undefined> {
  const { checks } = predicate.validation
  const listed = new Map(checks.list?.map((check) => [check.receipt, check]))
  const shown = new Set<string>()
  for (const envelope of verdicts) {
    const digest = attempt(() => toHex(receiptDigest(envelope)))
    if (!digest.ok) return reject('job-receipt/check', digest.message, { cause: digest.code })
    const check = listed.get(digest.value)
    if (check === undefined) return reject('job-receipt/check', "the job's receipt does not list this check")
    const fault = await verdictFault(envelope, { predicate, check })
    if (fault !== undefined) return fault
    shown.add(digest.value)
  }
  const { requireEvidence = false } = options
  if (requireEvidence === false) return undefined
  const needed = requireEvidence === true ? checks.count : Math.min(checks.count, MAX_BUNDLE_VERDICTS)
  // Where they are not listed, none can be told from another.
  if (shown.size >= needed || (requireEvidence !== true && checks.list === null)) return undefined
  return reject(
    'job-receipt/check',
    `${checks.count} checks are named, and ${shown.size} of their receipts came`,
  )
}

async function verdictFault(
  envelope: unknown,
  { predicate, check }: { predicate: JobPredicate; check: CheckEntry },
): Promise<Rejection | undefined> {
  const refuse = (message: string, cause?: string) =>
    reject('job-receipt/check', `the check of segment ${check.segment}: ${message}`, {
      segment: check.segment,
      ...(cause === undefined ? {} : { cause }),
    })
  const signer = predicate.validation.verifiers[check.verifier]?.nodeId ?? ''
  const verified = await verifyReceipt(envelope, { signer })
  if (!verified.ok) return refuse(verified.message, verified.code)
  const fault = contentFault(verified.value, { check, predicate })
  return fault === undefined ? undefined : refuse(fault)
}

function contentFault(
  { predicate: verdict }: Statement,
  { check, predicate }: { check: CheckEntry; predicate: JobPredicate },
): string | undefined {
  const commitment = attempt(() => toHex(commitExecution(executionFromJson(verdict.solver.execution).fields)))
  if (!commitment.ok || commitment.value !== check.commitment) return 'its receipt is about another execution'
  if (verdict.task.id !== predicate.work.taskId) return 'its receipt is about another task'
  if (!verdict.verdict.isVerified) return 'its receipt says that the result was wrong'
  const { seed, samples, confidence } = verdict.check
  const { commitment: expected } = predicate.validation.seed
  if (seed.kind !== 'commit-reveal' || seed.commitment !== expected)
    return 'its receipt is drawn from another seed'
  if (samples !== check.samples || confidence !== check.confidence) return 'its receipt states other figures'
  return policyFault(verdict.check, { predicate, segment: check.segment })
}

/** A verifier that was told to look for less than the job asked for has signed that. */
function policyFault(
  { faked, states, samples, guessProbability, requestedRate }: Statement['predicate']['check'],
  { predicate, segment }: { readonly predicate: JobPredicate; readonly segment: number },
): string | undefined {
  const { input, validation } = predicate
  const asked = validation.asked.sampling
  if (states !== rowsOfSegment(input, segment)) return 'its receipt is over another number of rows'
  if (asked === null) return undefined
  const isWeaker =
    (samples < states && (faked === null || faked > asked.fakedShare)) ||
    guessProbability !== asked.guessProbability ||
    requestedRate > asked.falsePositiveRate
  return isWeaker ? 'its receipt is over a weaker check than the job asked for' : undefined
}
