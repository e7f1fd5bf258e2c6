/**
 * Checking a receipt offline: signatures, and everything in it that follows from something else in it.
 *
 * Threat: the receipt comes from anybody. What holds afterwards: this verifier signed this statement; the
 * solver signed an execution with this task, input, output and proof; the indices are those that seed and
 * commitment give; the confidence is the one that the figures give. What does not: that the verifier
 * recomputed the samples at all. For that, take the response and the input and look again (recheck.ts), or
 * trust the signer.
 */
import { fromHex } from '../core/bytes.ts'
import type { Digest } from '../core/digest.ts'
import { attempt, type Rejection, reject, type Verdict } from '../core/errors.ts'
import { nodeId, verifySignature } from '../core/keys.ts'
import { commitExecution, executionFromJson, verifyExecution } from '../core/poe.ts'
import { sampleIndices } from '../core/sampling.ts'
import { challengeSeed, type ResolveOptions, resolveSeed } from '../core/seed.ts'
import { confidenceReached } from '../core/statistics.ts'
import { resultDigest } from '../method/sampling/commitment.ts'
import { isChosen } from '../method/sampling/verifier-rerun.ts'
import { MAX_PAYLOAD_BYTES, PAYLOAD_TYPE, parseEnvelope, preAuthEncoding } from './envelope.ts'
import { parseShallowJson } from './shallow-json.ts'
import { MAX_LISTED_INDICES, parseStatement, type Statement } from './statement.ts'

/** Allowed difference between a stated confidence and the one computed again. */
const CONFIDENCE_SLACK = 1e-9

export interface VerifyReceiptOptions {
  /** Node id of the verifier whose receipt it must be; without it any signer's holds. */
  readonly signer?: string
  /** Resolves beacon seeds (core/beacon.ts); a receipt with one is refused where it is absent. */
  readonly beacon?: ResolveOptions['beacon']
}

/** The statement of a receipt that holds in every part, or the first reason why it does not. */
export async function verifyReceipt(
  envelope: unknown,
  options: VerifyReceiptOptions = {},
): Promise<Verdict<Statement>> {
  const read = attempt(() => readStatement(envelope))
  if (!read.ok) {
    return reject('receipt/malformed', `not a receipt: ${read.message}`, { cause: read.code })
  }
  const { statement, opened } = read.value
  const { verifier } = statement.predicate
  const signed = await verifySignature(
    { type: verifier.publicKey.type, bytes: fromHex(verifier.publicKey.bytes) },
    preAuthEncoding(PAYLOAD_TYPE, opened.payload),
    opened.signature,
  )
  if (!signed.ok) return reject('receipt/signature', signed.message, { cause: signed.code })
  return (
    checkSigner(statement, { keyid: opened.keyid, signer: options.signer }) ??
    (await checkSolver(statement)) ??
    checkChallenge(statement, options) ?? { ok: true, value: statement }
  )
}

function readStatement(envelope: unknown) {
  const opened = parseEnvelope(envelope)
  const payload = parseShallowJson(opened.payload, { what: 'receipt payload', maxBytes: MAX_PAYLOAD_BYTES })
  return { opened, statement: parseStatement(payload) }
}

function checkSigner(
  { predicate }: Statement,
  { keyid, signer }: { readonly keyid: string; readonly signer: string | undefined },
): Rejection | undefined {
  const { publicKey, nodeId: named } = predicate.verifier
  const owner = nodeId({ type: publicKey.type, bytes: fromHex(publicKey.bytes) })
  if (owner !== named || owner !== keyid) {
    return reject('receipt/signature', 'the receipt names another node than the one whose key signed it', {
      expected: owner,
      found: named,
    })
  }
  if (signer !== undefined && signer !== owner) {
    return reject('receipt/signer', `expected a receipt of node ${signer}, got one of node ${owner}`, {
      expected: signer,
      found: owner,
    })
  }
  return undefined
}

async function checkSolver({ predicate }: Statement): Promise<Rejection | undefined> {
  const read = attempt(() => executionFromJson(predicate.solver.execution))
  if (!read.ok) return reject('receipt/commitment', read.message, { cause: read.code })
  const verdict = await verifyExecution(read.value, {
    taskDigest: fromHex(predicate.task.id) as Digest,
    inputDigest: fromHex(predicate.input.digest) as Digest,
    resultDigest: resultDigest(
      {
        output: fromHex(predicate.output.digest) as Digest,
        proof: fromHex(predicate.check.proofDigest) as Digest,
        states:
          predicate.solver.statesDigest === null ? null : (fromHex(predicate.solver.statesDigest) as Digest),
      },
      fromHex(predicate.solver.salt) as Digest,
    ),
  })
  return verdict.ok ? undefined : reject('receipt/commitment', verdict.message, { cause: verdict.code })
}

/** Derives indices, samples and confidence again. */
function checkChallenge(statement: Statement, { beacon }: VerifyReceiptOptions): Rejection | undefined {
  const { check, verdict, solver } = statement.predicate
  const refuse = (message: string) => reject('receipt/derivation', message)
  const source = resolveSeed(check.seed, {
    beacon: beacon ?? (() => reject('seed/malformed', 'the seed is a beacon round, and no beacon was given')),
    committedAtSeconds: solver.receivedAtSeconds,
  })
  if (!source.ok) return refuse(`the seed does not resolve: ${source.message}`)
  if (verdict.isVerified !== (verdict.evidence === null)) {
    return refuse('a verified response has no evidence, and a rejected one has some')
  }
  const derived = attempt(() => {
    const commitmentDigest = commitExecution(executionFromJson(solver.execution).fields)
    const seed = challengeSeed({ seed: source.value, commitmentDigest })
    return check.verifier === 'lazy' ? checkSample(check, seed) : checkTurn(check, seed)
  })
  if (!derived.ok) return refuse(derived.message)
  if (derived.value !== null) return refuse(derived.value)
  return verdict.countItems === check.samples ? undefined : refuse('countItems is not the number of samples')
}

type CheckFigures = Statement['predicate']['check']

function checkSample(check: CheckFigures, seed: Digest): string | null {
  const { states, samples, falsePositiveRate, guessProbability, faked, confidence } = check
  const indices = sampleIndices(seed, { population: states, size: samples })
  if (check.indices === null && samples <= MAX_LISTED_INDICES) return 'the sampled indices are missing'
  if (check.indices !== null && !equalNumbers(check.indices, indices)) {
    return 'the indices are not those that seed and commitment give'
  }
  if ((faked === null) !== (confidence === null)) return 'a confidence is stated for a faked share'
  if (faked === null) return null
  const reached = confidenceReached({
    states,
    samples,
    fakedShare: faked,
    falsePositiveRate,
    guessProbability,
  })
  // Platforms may differ in the last digits of a logarithm.
  return Math.abs(reached - (confidence as number)) <= CONFIDENCE_SLACK
    ? null
    : `the figures give a confidence of ${reached}, not ${confidence}`
}

/** A verifier that re-executes by chance must have done so exactly when the seed said so. */
function checkTurn(
  { verifier, verificationRatio, states, samples, confidence, faked, indices }: CheckFigures,
  seed: Digest,
): string | null {
  if (confidence !== null || faked !== null || indices === null || indices.length > 0) {
    return 'a re-execution draws no sample, and states no confidence'
  }
  const ratio = verifier === 'baseline' ? 1 : verificationRatio
  return samples === (isChosen(seed, ratio) ? states : 0)
    ? null
    : 'the seed decides otherwise about the re-execution'
}

function equalNumbers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}
