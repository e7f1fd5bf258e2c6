/**
 * Writing a receipt: a verification, put into a statement and signed by the verifier.
 */
import { fromBase64, toHex, utf8 } from '../core/bytes.ts'
import { sha256 } from '../core/digest.ts'
import { AssayError } from '../core/errors.ts'
import { type KeyPair, nodeId, type PublicKey } from '../core/keys.ts'
import { executionToJson, type SignedExecution } from '../core/poe.ts'
import type { SeedSource } from '../core/seed.ts'
import { bindProof, inputDigest, outputDigest, statesDigest } from '../method/sampling/commitment.ts'
import { proofSalt } from '../method/sampling/items.ts'
import type { VerifierRequest } from '../method/sampling/messages.ts'
import { proofDigest, proofObject } from '../method/sampling/proof.ts'
import type { Check, Verification } from '../method/sampling/verifier.ts'
import type { Task } from '../task/task.ts'
import { type Envelope, sealEnvelope } from './envelope.ts'
import {
  MAX_LISTED_INDICES,
  PREDICATE_TYPE,
  parseStatement,
  STATEMENT_TYPE,
  type Statement,
} from './statement.ts'

export interface ReceiptParts<Input, State, Output> {
  readonly task: Task<Input, State, Output>
  readonly request: VerifierRequest<Input, Output>
  readonly commitment: SignedExecution
  /** States that came beside the output, where there were any. */
  readonly states?: readonly State[] | null
  readonly verification: Verification
  readonly seed: SeedSource
  /** When the commitment was received, in Unix seconds. */
  readonly receivedAtSeconds: number
  readonly issuedAt: Date
}

/**
 * The receipt of a verification, signed with the verifier's key. A response that was refused before its states
 * were looked at gets none: `receipt/unopened` is thrown.
 */
export function signReceipt<Input, State, Output>(
  parts: ReceiptParts<Input, State, Output>,
  key: KeyPair,
): Promise<Envelope> {
  const statement = makeStatement(parts, key.publicKey)
  return sealEnvelope(utf8(JSON.stringify(statement)), key)
}

function makeStatement<Input, State, Output>(
  parts: ReceiptParts<Input, State, Output>,
  publicKey: PublicKey,
): Statement {
  const { task, request, verification, commitment, receivedAtSeconds, states = null } = parts
  const { requestId, nonce, nodeId: solver } = commitment.fields
  const binding = bindProof(task, request.solverRequest, { job: { requestId, nonce }, nodeId: solver })
  if (verification.check.outputBinding === null) {
    throw new AssayError(
      'receipt/unopened',
      'the response never opened, so there is no execution to give a receipt for',
    )
  }
  const output = task.output.encode(request.solverOutput)
  return parseStatement({
    _type: STATEMENT_TYPE,
    subject: [{ name: `${task.name} output`, digest: { sha256: toHex(sha256(output)) } }],
    predicateType: PREDICATE_TYPE,
    predicate: {
      task: { id: task.id, name: task.name, version: task.version, content: task.content },
      input: { digest: toHex(inputDigest(task, request.solverRequest.solverInput)) },
      output: { digest: toHex(outputDigest(task, request.solverOutput)) },
      solver: {
        execution: executionToJson(commitment),
        statesDigest: states === null ? null : toHex(statesDigest(task.state, states)),
        salt: toHex(proofSalt(binding)),
        receivedAtSeconds,
      },
      check: describeCheck(parts, verification.check),
      verdict: verification.response,
      verifier: {
        nodeId: nodeId(publicKey),
        publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
      },
      issuedAt: parts.issuedAt.toISOString(),
    },
  })
}

function describeCheck<Input, State, Output>(parts: ReceiptParts<Input, State, Output>, check: Check) {
  const proof = proofObject.decode(fromBase64(parts.request.solverProof.bloomFilter))
  const { indices, ...figures } = check
  return {
    method: 'sampling',
    profile: 'assay',
    ...figures,
    proofKind: proof.kind,
    proofDigest: toHex(proofDigest(proof)),
    requestedRate: parts.request.solverRequest.falsePositiveRate,
    verificationRatio: parts.request.verificationRatio,
    seed: parts.seed,
    indices: indices.length <= MAX_LISTED_INDICES ? indices : null,
  }
}
