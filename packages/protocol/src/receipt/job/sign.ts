/**
 * Writing the receipt of a job: plain data of the coordinator's records in, a signed statement out.
 *
 * Nodes are named by their ids here, and by their position in the statement. What does not fit is told as
 * 'job-receipt/parts', so that a coordinator notices before it signs.
 */
import { toHex, utf8 } from '../../core/bytes.ts'
import { AssayError, attempt, type Json } from '../../core/errors.ts'
import { encodePublicKey } from '../../core/key-file.ts'
import { type KeyPair, nodeId, type PublicKey, type sign } from '../../core/keys.ts'
import type { SeedSource } from '../../core/seed.ts'
import { type Envelope, sealEnvelope } from '../envelope.ts'
import { STATEMENT_TYPE } from '../statement.ts'
import { assuranceOf } from './assurance.ts'
import {
  type AskedValidation,
  type AuditEntry,
  type CheckEntry,
  JOB_PREDICATE_TYPE,
  type JobStatement,
  listRoot,
  MAX_JOB_PAYLOAD_BYTES,
  MAX_LISTED,
  MAX_LISTED_AUDITS,
  MAX_LISTED_FAULTS,
  type Party,
  parseJobStatement,
  segmentRoots,
} from './statement.ts'

/** A node or a verifier, as it is registered. */
export interface ReceiptParty {
  readonly publicKey: PublicKey
  readonly operator: string
  readonly engine: string
}

/** One run of a segment. Digests have 32 bytes. */
export interface ReceiptRun {
  readonly nodeId: string
  /** Signed Proof-of-Execution. */
  readonly commitment: Uint8Array
  /** SHA-256 of the encoded output. */
  readonly output: Uint8Array
}

export interface ReceiptAudit {
  readonly segment: number
  /** At which it was drawn. */
  readonly rate: number
  /** Position in `runs` of the one that was drawn; the first unless told. */
  readonly drawn?: number
  readonly runs: readonly ReceiptRun[]
  readonly outcome: AuditEntry['outcome']
  /** Node ids that the majority outvoted. */
  readonly lost: readonly string[]
}

export interface ReceiptCheck {
  readonly segment: number
  readonly commitment: Uint8Array
  readonly verifierId: string
  readonly samples: number
  readonly confidence: number | null
  /** `receiptDigest` (log/entry.ts) of the verifier's envelope. */
  readonly receipt: Uint8Array
}

export interface ReceiptFault {
  readonly segment: number | null
  readonly nodeId: string
  readonly code: string
  readonly message: string
}

export interface JobReceiptParts {
  readonly job: {
    readonly id: string
    readonly name: string
    readonly submittedAt: Date
    readonly acceptedAt: Date
  }
  readonly work: { readonly descriptor: { readonly [key: string]: Json }; readonly taskId: string }
  readonly input: { readonly cids: readonly string[]; readonly rows: number; readonly segmentRows: number }
  /** Accepted runs in the order of the segments; read twice at most. */
  readonly segments: Iterable<ReceiptRun>
  /** SHA-256 of all rows, encoded (task/rows.ts), where it is known. */
  readonly outputSha256?: Uint8Array | null
  /** Everybody who ran a segment or is blamed, each once. */
  readonly nodes: readonly ReceiptParty[]
  readonly verifiers?: readonly ReceiptParty[]
  readonly asked: AskedValidation
  readonly comparison: 'exact' | 'tolerant'
  /** Commit-reveal, over `jobSeedContext` (draws.ts). */
  readonly seed: SeedSource
  readonly audits?: readonly ReceiptAudit[]
  /** Of accepted results. */
  readonly checks?: readonly ReceiptCheck[]
  readonly faults?: readonly ReceiptFault[]
  readonly credits: { readonly paid: number; readonly byNode: { readonly [nodeId: string]: number } }
  readonly issuedAt: Date
}

export interface SignJobOptions {
  /** Signs; a service passes a native one. */
  readonly signer?: typeof sign
}

/** Throws 'job-receipt/parts', or 'codec/schema' for a field out of range. */
export async function signJobReceipt(
  parts: JobReceiptParts,
  key: KeyPair,
  options: SignJobOptions = {},
): Promise<Envelope> {
  const statement = makeJobStatement(parts, key.publicKey)
  const payload = utf8(JSON.stringify(statement))
  return sealEnvelope(payload, key, { maxBytes: MAX_JOB_PAYLOAD_BYTES, ...options })
}

/** The statement that a coordinator with this key signs. Throws as `signJobReceipt`. */
export function makeJobStatement(parts: JobReceiptParts, coordinator: PublicKey): JobStatement {
  const { job, work, input, outputSha256 = null, asked, comparison, seed, credits } = parts
  const nodes = partyList(parts.nodes, 'node')
  const segments = describeSegments(parts, nodes)
  const sha256 = outputSha256 === null ? null : toHex(outputSha256)
  const { id, name, submittedAt, acceptedAt } = job
  const faults = parts.faults ?? []
  const value = {
    _type: STATEMENT_TYPE,
    subject: [
      {
        name: `output of job ${id}`,
        digest: { assayOutputRoot: segments.outputRoot, ...(sha256 === null ? {} : { sha256 }) },
      },
    ],
    predicateType: JOB_PREDICATE_TYPE,
    predicate: {
      job: { id, name, submittedAt: submittedAt.toISOString(), acceptedAt: acceptedAt.toISOString() },
      work: { ...work },
      input: { ...input, cids: [...input.cids] },
      output: { root: segments.outputRoot, sha256 },
      segments: segments.listing,
      nodes: nodes.parties,
      validation: {
        asked,
        comparison,
        seed,
        ...describeChecks(parts, nodes),
        assurance: assuranceOf(asked, { segments: segments.listing.count }),
      },
      faults: {
        count: faults.length,
        list: faults
          .slice(0, MAX_LISTED_FAULTS)
          .map(({ nodeId: blamed, ...fault }) => ({ ...fault, node: nodes.at(blamed) })),
      },
      credits: { paid: credits.paid, nodes: describeCredits(credits.byNode, nodes) },
      coordinator: { nodeId: nodeId(coordinator), publicKey: encodePublicKey(coordinator) },
      issuedAt: parts.issuedAt.toISOString(),
    },
  }
  return parseJobStatement(value)
}

interface PartyList {
  readonly parties: Party[]
  /** Position of a node id. */
  at(nodeId: string): number
}

function partyList(list: readonly ReceiptParty[], what: string): PartyList {
  const parties = list.map(({ publicKey, operator, engine }) => {
    const encoded = attempt(() => ({ nodeId: nodeId(publicKey), publicKey: encodePublicKey(publicKey) }))
    if (!encoded.ok) throw misfit(`a ${what} has a key that is none: ${encoded.message}`)
    return { ...encoded.value, operator, engine }
  })
  const positions = new Map(parties.map((party, at) => [party.nodeId as string, at]))
  if (positions.size < parties.length) throw misfit(`expected each ${what} once in the list of them`)
  return {
    parties,
    at(id) {
      const position = positions.get(id)
      if (position === undefined) throw misfit(`${what} ${id} is named, and is not in the list of them`)
      return position
    },
  }
}

function describeSegments({ segments, input }: JobReceiptParts, nodes: PartyList) {
  const list: ReturnType<typeof describeRun>[] = []
  function* records() {
    let index = 0
    for (const segment of segments) {
      const described = describeRun(segment, nodes)
      if (index < MAX_LISTED) list.push(described)
      const { commitment, output } = described
      yield { index, nodeId: segment.nodeId, commitment, output }
      index++
    }
  }
  const { count, root, outputRoot } = segmentRoots(records())
  const expected = Math.ceil(input.rows / input.segmentRows)
  if (count !== expected) throw misfit(`${input.rows} rows make ${expected} segments, got ${count}`)
  return { outputRoot, listing: { count, root, list: count > MAX_LISTED ? null : list } }
}

function describeRun({ nodeId: id, commitment, output }: ReceiptRun, nodes: PartyList) {
  return { node: nodes.at(id), commitment: toHex(commitment), output: toHex(output) }
}

function describeChecks(parts: JobReceiptParts, nodes: PartyList) {
  const { verifiers = [], checks = [] } = parts
  const verifierList = partyList(verifiers, 'verifier')
  const audits = auditsToList(parts).map(({ drawn = 0, runs, lost, ...audit }) => ({
    ...audit,
    drawn,
    runs: runs.map((run) => describeRun(run, nodes)),
    lost: lost.map((id) => nodes.at(id)),
  }))
  const described = checks.map(({ verifierId, commitment, receipt, ...check }) => ({
    ...check,
    commitment: toHex(commitment),
    verifier: verifierList.at(verifierId),
    receipt: toHex(receipt),
  }))
  return {
    audits: listing(audits, MAX_LISTED_AUDITS),
    checks: listing(described, MAX_LISTED),
    verifiers: verifierList.parties,
  }
}

/** Those in which three nodes gave three answers decided nothing: they make room first. */
function auditsToList({ audits = [] }: JobReceiptParts): readonly ReceiptAudit[] {
  if (audits.length <= MAX_LISTED_AUDITS) return audits
  return audits.filter(({ outcome }) => outcome !== 'scattered')
}

function listing<T extends AuditEntry | CheckEntry>(list: readonly T[], most: number) {
  return { count: list.length, root: listRoot(list), list: list.length > most ? null : list }
}

function describeCredits(byNode: { readonly [nodeId: string]: number }, nodes: PartyList): number[] {
  const amounts = nodes.parties.map(() => 0)
  for (const [id, amount] of Object.entries(byNode)) amounts[nodes.at(id)] = amount
  return amounts
}

function misfit(message: string): AssayError {
  return new AssayError('job-receipt/parts', message)
}
