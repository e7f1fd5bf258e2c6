/**
 * What follows from something else in the statement of a job's receipt, derived again.
 *
 * Threat: the coordinator, who signs the statement. It cannot leave a drawn result unaudited or unsampled, claim a draw
 * that the seed does not give, count a majority otherwise, credit one commitment twice, or state more confidence than
 * its figures give. It can still make up nodes and runs: their signatures are in the bundle (executions.ts).
 *
 * In a job of more than `MAX_LISTED` segments, of which only roots are there, what follows from the lists is not derived.
 */
import { fromHex } from '../../core/bytes.ts'
import type { Digest } from '../../core/digest.ts'
import { attempt, type Rejection, reject } from '../../core/errors.ts'
import { decodePublicKey } from '../../core/key-file.ts'
import { type NodeId, nodeId } from '../../core/keys.ts'
import { isAudited } from '../../method/redundancy/audit.ts'
import { compareAnswers } from '../../method/redundancy/verifier.ts'
import { assuranceOf } from './assurance.ts'
import { isSampled, openJobSeed } from './draws.ts'
import {
  type AuditEntry,
  type JobPredicate,
  type JobStatement,
  listRoot,
  MAX_LISTED,
  type Party,
  rowsOfSegment,
  segmentRoots,
} from './statement.ts'

/** Allowed difference between a stated probability and the one computed again: platforms differ in the last digits. */
const SLACK = 1e-9

/** The first thing that does not follow: 'receipt/derivation'. */
export function checkDerivations({ subject, predicate }: JobStatement): Rejection | undefined {
  const derived = attempt(
    () =>
      partiesFault(predicate) ??
      segmentsFault(predicate) ??
      subjectFault(subject[0].digest, predicate) ??
      auditsFault(predicate) ??
      checksFault(predicate) ??
      restFault(predicate),
  )
  if (!derived.ok) return reject('receipt/derivation', derived.message, { cause: derived.code })
  return derived.value === undefined ? undefined : reject('receipt/derivation', derived.value)
}

function partiesFault({ nodes, validation }: JobPredicate): string | undefined {
  return partyFault(nodes, 'node') ?? partyFault(validation.verifiers, 'verifier')
}

function partyFault(parties: readonly Party[], what: string): string | undefined {
  for (const { nodeId: named, publicKey } of parties) {
    const owner = nodeId(decodePublicKey(publicKey))
    if (owner !== named) return `${what} ${named} is named with the key of ${owner}`
  }
  const ids = new Set(parties.map((party) => party.nodeId))
  return ids.size < parties.length ? `a ${what} is listed twice` : undefined
}

function segmentsFault({ input, output, segments, nodes }: JobPredicate): string | undefined {
  const { count, root, list } = segments
  const expected = Math.ceil(input.rows / input.segmentRows)
  if (count !== expected) return `${input.rows} rows make ${expected} segments, not ${count}`
  const fault = listFault('segments', segments, count)
  if (list === null || fault !== undefined) return fault
  const stray = list.find(({ node }) => node >= nodes.length)
  if (stray !== undefined) return `a segment names node ${stray.node} of ${nodes.length}`
  const records = list.map(({ node, ...run }, index) => ({ index, nodeId: nodes[node]!.nodeId, ...run }))
  const roots = segmentRoots(records)
  if (roots.count !== count || roots.root !== root)
    return 'the root of the segments is not that of their list'
  if (roots.outputRoot !== output.root) return 'the root of the output is not that of the segments'
  const commitments = new Set(list.map(({ commitment }) => commitment))
  return commitments.size < count ? 'one commitment stands for two segments' : undefined
}

/** A small job must list everything: a list left out would hide what it lacks. */
function listFault(
  what: string,
  { count, list }: { readonly count: number; readonly list: readonly unknown[] | null },
  segments: number,
): string | undefined {
  if (list === null) return segments > MAX_LISTED ? undefined : `the list of ${count} ${what} is missing`
  return list.length === count ? undefined : `${count} ${what} are counted, and ${list.length} are listed`
}

function subjectFault(
  digest: { readonly assayOutputRoot: string; readonly sha256?: string | undefined },
  { output }: JobPredicate,
): string | undefined {
  const isSame = digest.assayOutputRoot === output.root && (digest.sha256 ?? null) === output.sha256
  return isSame ? undefined : 'the subject is not the output'
}

function auditsFault(predicate: JobPredicate): string | undefined {
  const { job, segments, validation } = predicate
  const { audits, asked, seed: source } = validation
  const seed = openJobSeed(source, job.id)
  const counted = listFault('audits', audits, segments.count)
  if (audits.list === null || counted !== undefined) return counted
  if (listRoot(audits.list) !== audits.root) return 'the root of the audits is not that of their list'
  const [contested, passed] = [new Set<string>(), new Set<string>()]
  const positions = new Map(predicate.nodes.map((node, at) => [node.nodeId, at]))
  for (const audit of audits.list) {
    const fault = auditFault(audit, { predicate, seed, positions })
    if (fault !== undefined) return `the audit of segment ${audit.segment}: ${fault}`
    for (const { commitment, node } of audit.runs) {
      const name = `${audit.segment}/${commitment}`
      contested.add(name)
      if (audit.outcome !== 'scattered' && !audit.lost.includes(node)) passed.add(name)
    }
  }
  const rate = asked.redundancy?.share ?? 0
  for (const [index, { commitment }] of segments.list?.entries() ?? []) {
    const name = `${index}/${commitment}`
    if (passed.has(name)) continue
    if (contested.has(name)) return `segment ${index} was accepted although its audit went against it`
    const isDrawn = isAudited({ seed, commitment: digestOf(commitment), rate })
    if (isDrawn) return `segment ${index} was drawn to run again, and did not`
  }
  return undefined
}

function auditFault(
  { segment, rate, drawn, runs, outcome, lost }: AuditEntry,
  context: {
    readonly predicate: JobPredicate
    readonly seed: Uint8Array
    /** Of nodes, by their ids. */
    readonly positions: ReadonlyMap<string, number>
  },
): string | undefined {
  const { predicate, seed, positions } = context
  const { nodes, segments, validation } = predicate
  const { asked, comparison } = validation
  if (segment >= segments.count) return 'there is no such segment'
  if (runs.some(({ node }) => node >= nodes.length)) return `it names a node beyond ${nodes.length}`
  const run = runs[drawn]
  if (run === undefined) return `it says that run ${drawn} of ${runs.length} was drawn`
  if (rate < (asked.redundancy?.share ?? 0)) return 'its rate is below the share that was asked'
  if (!isAudited({ seed, commitment: digestOf(run.commitment), rate })) return 'the seed did not draw it'
  const answers = runs.map(({ node, output }) => {
    const { nodeId: id, operator } = nodes[node]!
    return { nodeId: id as NodeId, operator, resultDigest: digestOf(output) }
  })
  // Within a tolerance, outputs differ and agree; who says so is the coordinator, until the outputs are compared.
  const compared = compareAnswers(answers, { tolerant: () => comparison === 'tolerant' })
  if (!compared.ok) return compared.message
  if (comparison === 'tolerant') {
    const isPossible =
      (outcome === 'agreed' ? lost.length === 0 : runs.length === 3) && isLost(lost, outcome, runs)
    return isPossible ? undefined : `${runs.length} runs cannot end as ${outcome}`
  }
  const losers = compared.value.lost.map((id) => positions.get(id))
  return compared.value.outcome === outcome && String(losers) === String(lost)
    ? undefined
    : `its runs give ${compared.value.outcome}, not ${outcome}`
}

function isLost(lost: readonly number[], outcome: AuditEntry['outcome'], runs: AuditEntry['runs']): boolean {
  if (outcome !== 'majority') return lost.length === 0
  return lost.length === 1 && runs.some(({ node }) => node === lost[0])
}

/** Runs that can have been sampled: the accepted ones, and those that they were compared with. */
function runNames({ segments, validation }: JobPredicate): ReadonlySet<string> {
  const names = new Set(segments.list?.map(({ commitment }, index) => `${index}/${commitment}`))
  for (const { segment, runs } of validation.audits.list ?? []) {
    for (const { commitment } of runs) names.add(`${segment}/${commitment}`)
  }
  return names
}

function checksFault(predicate: JobPredicate): string | undefined {
  const { job, segments, input, validation } = predicate
  const { checks, asked, seed: source, verifiers } = validation
  const seed = openJobSeed(source, job.id)
  const counted = listFault('checks', checks, segments.count)
  if (checks.list === null || counted !== undefined) return counted
  if (listRoot(checks.list) !== checks.root) return 'the root of the checks is not that of their list'
  const { share = 0, confidence = 0 } = asked.sampling ?? {}
  const passed = new Set<string>()
  const known = runNames(predicate)
  for (const check of checks.list) {
    const { segment } = check
    const refuse = (message: string) => `the check of segment ${segment}: ${message}`
    if (segment >= segments.count) return refuse('there is no such segment')
    if (check.verifier >= verifiers.length) return refuse(`it names a verifier beyond ${verifiers.length}`)
    const rows = rowsOfSegment(input, segment)
    if (check.samples > rows) return refuse(`${check.samples} samples of ${rows} rows`)
    const reached = check.samples === rows ? 1 : (check.confidence ?? 0)
    if (reached + SLACK < confidence) return refuse(`it reached ${reached}, and ${confidence} was asked`)
    const name = `${segment}/${check.commitment}`
    if (passed.has(name)) return refuse('it is listed twice')
    if (!known.has(name)) return refuse('it is of a run that the receipt does not name')
    passed.add(name)
  }
  const missing = segments.list?.findIndex(
    ({ commitment }, index) =>
      isSampled({ seed, commitment: digestOf(commitment), rate: share }) &&
      !passed.has(`${index}/${commitment}`),
  )
  return missing === undefined || missing < 0
    ? undefined
    : `segment ${missing} was drawn to be sampled, and was not`
}

function restFault({ segments, validation, faults, credits, nodes }: JobPredicate): string | undefined {
  const stray = faults.list.find(({ node }) => node >= nodes.length)
  if (stray !== undefined) return `a fault names node ${stray.node} of ${nodes.length}`
  if (faults.list.length > faults.count) return 'more faults are listed than counted'
  if (credits.nodes.length !== nodes.length) return 'credits are not stated for each node'
  const paid = credits.nodes.reduce((sum, amount) => sum + amount, 0)
  if (paid > credits.paid) return `${paid} credits went to nodes, and ${credits.paid} were paid`
  const { asked, assurance } = validation
  const own = assuranceOf(asked, { segments: segments.count, wrongShare: assurance.wrongShare })
  const isSame = (['segmentCaught', 'jobCaught'] as const).every(
    (name) => Math.abs(own[name] - assurance[name]) <= SLACK,
  )
  return isSame ? undefined : `the figures give a confidence of ${own.jobCaught}, not ${assurance.jobCaught}`
}

function digestOf(hex: string): Digest {
  return fromHex(hex) as Digest
}
