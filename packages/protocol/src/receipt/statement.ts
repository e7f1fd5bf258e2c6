/**
 * Receipts: a signed statement of what ran, how it was checked, and with what confidence.
 *
 * The statement is an in-toto Statement v1 whose subject is the output; its predicate names task, input,
 * solver commitment, challenge and verdict, so that a third party can derive the sampled indices and the
 * confidence again. It says what a verifier saw; it does not by itself prove that the verifier is honest:
 * that needs the input and a second look (method/sampling/recheck.ts).
 */
import * as z from 'zod/mini'
import { parseWith } from '../core/codec.ts'
import { KEY_TYPES } from '../core/keys.ts'
import { seedSourceSchema } from '../core/seed.ts'
import { PROOF_KINDS } from '../method/sampling/proof.ts'

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1'
export const PREDICATE_TYPE = 'urn:assay:receipt:v1'
/** Indices beyond this many are left out of the receipt: they follow from the seed. */
export const MAX_LISTED_INDICES = 10_000

/** Bounds on what anybody who checks a receipt has to compute again; far above what a sample needs. */
export const MAX_RECEIPT_SAMPLES = 2 ** 17
export const MAX_RECEIPT_STATES = 1e9

const hex32 = z.string().check(z.regex(/^[0-9a-f]{64}$/))
const keyBytes = z.string().check(z.regex(/^(?:[0-9a-f]{2})*$/), z.maxLength(8192))
const share = z.number().check(z.minimum(0), z.maximum(1))
const count = z.int().check(z.minimum(0))
const text = z.string().check(z.maxLength(4096))

const publicKey = z.strictObject({ type: z.enum(KEY_TYPES), bytes: keyBytes })

const solver = z.strictObject({
  /** The signed Proof-of-Execution, in the JSON form of core/poe.ts. */
  execution: z.json(),
  /** Digest of the states that came beside the output, and the salt of the proof: parts of what was signed. */
  statesDigest: z.nullable(hex32),
  salt: hex32,
  /** When the verifier received it, in Unix seconds: a beacon round must be later. */
  receivedAtSeconds: count,
})

const evidence = z.strictObject({
  code: text,
  message: text,
  stateIndex: z.nullable(count),
  expected: z.json(),
  found: z.json(),
})

const check = z.strictObject({
  method: z.literal('sampling'),
  profile: z.literal('assay'),
  verifier: z.enum(['lazy', 'adversarial', 'baseline']),
  proofKind: z.enum(PROOF_KINDS),
  proofDigest: hex32,
  states: z.int().check(z.minimum(1), z.maximum(MAX_RECEIPT_STATES)),
  samples: z.int().check(z.minimum(0), z.maximum(MAX_RECEIPT_SAMPLES)),
  /** The rate asked of the proof; `falsePositiveRate` is what a sampled state has against it. */
  requestedRate: share,
  verificationRatio: share,
  falsePositiveRate: share,
  guessProbability: share,
  outputBinding: z.nullable(z.enum(['claimed', 'derived', 'partial', 'unbound'])),
  faked: z.nullable(share),
  confidence: z.nullable(share),
  /** Where the challenge seed came from; resolved by core/seed.ts. */
  seed: seedSourceSchema,
  indices: z.nullable(z.array(count).check(z.maxLength(MAX_LISTED_INDICES))),
})

const predicate = z.strictObject({
  task: z.strictObject({ id: hex32, name: text, version: text, content: z.record(z.string(), z.string()) }),
  input: z.strictObject({ digest: hex32 }),
  output: z.strictObject({ digest: hex32 }),
  solver,
  check,
  verdict: z.strictObject({ isVerified: z.boolean(), countItems: count, evidence: z.nullable(evidence) }),
  verifier: z.strictObject({ nodeId: hex32, publicKey }),
  issuedAt: z.iso.datetime(),
})

const statement = z.strictObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z.tuple([z.strictObject({ name: text, digest: z.strictObject({ sha256: hex32 }) })]),
  predicateType: z.literal(PREDICATE_TYPE),
  predicate,
})

export type Statement = z.infer<typeof statement>
export type ReceiptPredicate = z.infer<typeof predicate>

/** Strict; throws `codec/schema`. */
export function parseStatement(value: unknown): Statement {
  return parseWith(statement, value, 'receipt statement')
}
