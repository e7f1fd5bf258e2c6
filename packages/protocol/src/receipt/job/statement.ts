/**
 * Receipts of network jobs: who ran what, how it was checked, and what that is worth.
 *
 * An in-toto Statement v1 in a DSSE envelope, signed by the coordinator. Its subject is the output, by the Merkle root
 * over the SHA-256 of its segments' outputs in order (RFC 9162), and by the SHA-256 of all rows where that is known.
 *
 * Lists are there in full up to a cap, and as count and Merkle root in any case, so that the receipt of a job of a
 * million segments stays small and still binds each of them: `segmentLeaf`, and `listRoot` over canonical DAG-CBOR for
 * the others.
 *
 * Threat: the coordinator may lie. What it can be held to is in verify.ts.
 */
import * as z from 'zod/mini'
import { concatBytes, fromHex, toHex, u64be } from '../../core/bytes.ts'
import { encodeCanonical, parseWith } from '../../core/codec.ts'
import type { Digest } from '../../core/digest.ts'
import { publicKeySchema } from '../../core/key-file.ts'
import { leafHashes, merkleRoot, packedTree } from '../../core/merkle.ts'
import { commitRevealSeedSchema } from '../../core/seed.ts'
import { MAX_JOB_ID } from '../log/entry.ts'
import { STATEMENT_TYPE } from '../statement.ts'

export const JOB_PREDICATE_TYPE = 'urn:assay:job-receipt:v1'
/** Jobs of at most so many segments list them, and all that was done about them; of larger ones the roots stand. */
export const MAX_LISTED = 10_000
/** Audits that a list holds: each segment of the largest job that is listed may have run again twice. */
export const MAX_LISTED_AUDITS = 2 * MAX_LISTED
/** As many nodes as a network has; each takes some 300 bytes. */
export const MAX_RECEIPT_NODES = 10_000
/** Faults are told until here; their number is told in any case. */
export const MAX_LISTED_FAULTS = 1000
/** Full lists take some 13 MB. */
export const MAX_JOB_PAYLOAD_BYTES = 2 ** 24
/** Bounds on what whoever checks a receipt believes before it computes. */
export const MAX_RECEIPT_SEGMENTS = 2 ** 26
const MAX_INPUTS = 16
const MAX_DESCRIPTOR_TEXT = 65_536

const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits'))
const cid = z.string().check(z.regex(/^b[a-z2-7]{58}$/, 'a content address'))
const share = z.number().check(z.minimum(0), z.maximum(1))
const count = z.int().check(z.minimum(0))
const text = z.string().check(z.maxLength(2048))
const name = z.string().check(z.minLength(1), z.maxLength(256))
const time = z.iso.datetime()

/** Nodes and verifiers are referred to by their position in their list. */
const position = z.int().check(z.minimum(0), z.maximum(MAX_RECEIPT_NODES - 1))

const party = z.strictObject({
  nodeId: hex32,
  /** Who runs it, as it is registered. */
  operator: name,
  publicKey: publicKeySchema,
  /** Program and version. */
  engine: name,
})

const run = z.strictObject({
  node: position,
  /** Proof-of-Execution that the node signed (core/poe.ts). */
  commitment: hex32,
  /** SHA-256 of its output, encoded (task/rows.ts). */
  output: hex32,
})

const descriptor = z
  .record(z.string(), z.json())
  .check(z.refine((value) => JSON.stringify(value).length <= MAX_DESCRIPTOR_TEXT, 'a shorter descriptor'))

export const askedSchema = z.strictObject({
  /** SPEX by verifiers, on a share of the segments. */
  sampling: z.nullable(
    z.strictObject({
      share,
      confidence: share,
      fakedShare: share,
      falsePositiveRate: share,
      guessProbability: share,
    }),
  ),
  /** A second run by another operator, on a share of the segments; a third decides. */
  redundancy: z.nullable(z.strictObject({ share })),
})
export type AskedValidation = z.infer<typeof askedSchema>

/** A result that ran again: two runs that agree, or three. */
export const auditSchema = z.strictObject({
  segment: count,
  /** The rate at which it was drawn: the share asked, or more where the node is trusted less. */
  rate: share,
  /** Which of the runs was drawn. */
  drawn: z.int().check(z.minimum(0), z.maximum(2)),
  runs: z.array(run).check(z.minLength(2), z.maxLength(3)),
  outcome: z.enum(['agreed', 'majority', 'scattered']),
  /** Nodes that the majority outvoted. */
  lost: z.array(position).check(z.maxLength(1)),
})
export type AuditEntry = z.infer<typeof auditSchema>

/** A result whose rows a verifier sampled, and found right. */
export const checkSchema = z.strictObject({
  segment: count,
  commitment: hex32,
  verifier: position,
  samples: count,
  confidence: z.nullable(share),
  /** `receiptDigest` (log/entry.ts) of the verifier's own receipt. */
  receipt: hex32,
})
export type CheckEntry = z.infer<typeof checkSchema>

const faultSchema = z.strictObject({
  segment: z.nullable(count),
  node: position,
  code: z.string().check(z.maxLength(128)),
  message: text,
})

const listed = <T extends z.ZodMiniType>(entry: T, most = MAX_LISTED) =>
  z.strictObject({
    count: z.int().check(z.minimum(0), z.maximum(MAX_RECEIPT_SEGMENTS)),
    root: hex32,
    /** All of them; null only in jobs of more than `MAX_LISTED` segments. */
    list: z.nullable(z.array(entry).check(z.maxLength(most))),
  })

/** What one wrong segment, and a share of them, is caught with; see assurance.ts. */
const assurance = z.strictObject({
  segmentCaught: share,
  wrongShare: share,
  jobCaught: share,
  proves: z.array(text).check(z.maxLength(16)),
  doesNotProve: z.array(text).check(z.maxLength(16)),
})

const predicate = z.strictObject({
  job: z.strictObject({
    id: z.string().check(z.minLength(1), z.maxLength(MAX_JOB_ID)),
    name,
    submittedAt: time,
    acceptedAt: time,
  }),
  work: z.strictObject({
    /** Kind, model or module by content address, parameters; its task id is a digest of it and of how rows compare. */
    descriptor,
    taskId: hex32,
  }),
  input: z.strictObject({
    cids: z.array(cid).check(z.minLength(1), z.maxLength(MAX_INPUTS)),
    rows: z.int().check(z.minimum(1)),
    segmentRows: z.int().check(z.minimum(1)),
  }),
  output: z.strictObject({ root: hex32, sha256: z.nullable(hex32) }),
  /** What was accepted, in order. */
  segments: listed(run),
  nodes: z.array(party).check(z.minLength(1), z.maxLength(MAX_RECEIPT_NODES)),
  validation: z.strictObject({
    asked: askedSchema,
    /** Whether outputs are compared by their bits, or within a tolerance that the descriptor names. */
    comparison: z.enum(['exact', 'tolerant']),
    /** Committed to at intake, revealed here; its context is the job (draws.ts). */
    seed: commitRevealSeedSchema,
    audits: listed(auditSchema, MAX_LISTED_AUDITS),
    checks: listed(checkSchema),
    verifiers: z.array(party).check(z.maxLength(MAX_RECEIPT_NODES)),
    assurance,
  }),
  faults: z.strictObject({ count, list: z.array(faultSchema).check(z.maxLength(MAX_LISTED_FAULTS)) }),
  credits: z.strictObject({
    /** Whole credits, all in all. */
    paid: count,
    /** Of them to each node, in the order of `nodes`. */
    nodes: z.array(count).check(z.maxLength(MAX_RECEIPT_NODES)),
  }),
  coordinator: z.strictObject({ nodeId: hex32, publicKey: publicKeySchema }),
  issuedAt: time,
})

const statement = z.strictObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z.tuple([
    z.strictObject({
      name: z.string().check(z.maxLength(512)),
      digest: z.strictObject({ assayOutputRoot: hex32, sha256: z.optional(hex32) }),
    }),
  ]),
  predicateType: z.literal(JOB_PREDICATE_TYPE),
  predicate,
})

export type JobStatement = z.infer<typeof statement>
export type JobPredicate = z.infer<typeof predicate>
export type Party = z.infer<typeof party>

/** Strict; throws `codec/schema`. */
export function parseJobStatement(value: unknown): JobStatement {
  return parseWith(statement, value, 'job receipt statement')
}

export interface SegmentRecord {
  readonly index: number
  /** 64 hexadecimal digits each. */
  readonly nodeId: string
  readonly commitment: string
  readonly output: string
}

/** A leaf of `segments.root`: index as u64, node id, commitment, output digest; 104 bytes. */
export function segmentLeaf({ index, nodeId, commitment, output }: SegmentRecord): Uint8Array {
  return concatBytes(u64be(index), fromHex(nodeId), fromHex(commitment), fromHex(output))
}

/** Root over segments in order, and over their output digests. Takes them as they come: a job may have a million. */
export function segmentRoots(records: Iterable<SegmentRecord>): {
  readonly count: number
  readonly root: string
  readonly outputRoot: string
} {
  const [leaves, outputs] = [leafCollector(), leafCollector()]
  let count = 0
  for (const record of records) {
    leaves.add(segmentLeaf(record))
    outputs.add(fromHex(record.output))
    count++
  }
  return { count, root: toHex(leaves.root()), outputRoot: toHex(outputs.root()) }
}

/** Leaves hashed together; more at once is no faster. */
const COLLECTED = 4096

function leafCollector(): { add(leaf: Uint8Array): void; root(): Digest } {
  const hashed: Uint8Array[] = []
  let waiting: Uint8Array[] = []
  const flush = () => {
    hashed.push(leafHashes(waiting))
    waiting = []
  }
  return {
    add(leaf) {
      waiting.push(leaf)
      if (waiting.length === COLLECTED) flush()
    },
    root() {
      flush()
      return packedTree(concatBytes(...hashed)).root
    },
  }
}

/** Root over entries of audits or checks: the leaves are their canonical DAG-CBOR. */
export function listRoot(entries: readonly (AuditEntry | CheckEntry)[]): string {
  return toHex(merkleRoot(entries.map((entry) => encodeCanonical(entry))))
}

/** Rows of segment `index`: all segments but the last have as many as the job says. */
export function rowsOfSegment({ rows, segmentRows }: JobPredicate['input'], index: number): number {
  return Math.min(segmentRows, rows - index * segmentRows)
}
