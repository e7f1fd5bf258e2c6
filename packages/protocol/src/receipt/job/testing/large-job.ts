/** For tests: runs of a job whose segments are too many to be listed, and their openings. */
import { fromHex, toHex, utf8 } from '../../../core/bytes.ts'
import { type Digest, sha256 } from '../../../core/digest.ts'
import { type KeyPair, nodeId } from '../../../core/keys.ts'
import { leafHash, merkleTree, proveInclusion } from '../../../core/merkle.ts'
import { commitExecution, type ExecutionFields, plainResultDigest } from '../../../core/poe.ts'
import { batchedExecutionToJson, executionFromBatch, signExecutionBatch } from '../../../core/poe-batch.ts'
import { cubes } from '../../../method/sampling/testing/fixtures.ts'
import type { BundleExecution } from '../executions.ts'
import type { ReceiptRun } from '../sign.ts'
import { segmentLeaf } from '../statement.ts'

export function plainRun(segment: number, key: KeyPair): ReceiptRun & { readonly fields: ExecutionFields } {
  const output = sha256(utf8(`output ${segment}`))
  const fields: ExecutionFields = {
    requestId: utf8(`request ${segment}`),
    nonce: new Uint8Array(32),
    taskDigest: fromHex(cubes.id) as Digest,
    inputDigest: output,
    resultDigest: plainResultDigest(output),
    nodeId: nodeId(key.publicKey),
  }
  return { nodeId: fields.nodeId, commitment: commitExecution(fields), output, fields }
}

export async function openSegments(
  runs: readonly ReturnType<typeof plainRun>[],
  { indices, key }: { readonly indices: readonly number[]; readonly key: KeyPair },
): Promise<BundleExecution[]> {
  const leaves = runs.map(({ nodeId: id, commitment, output }, index) =>
    leafHash(segmentLeaf({ index, nodeId: id, commitment: toHex(commitment), output: toHex(output) })),
  )
  const tree = merkleTree(leaves)
  const fields = indices.map((index) => runs[index]!.fields)
  const batch = { fields, ...(await signExecutionBatch(fields, key)) }
  return indices.map((segment, i) => ({
    segment,
    execution: batchedExecutionToJson(executionFromBatch(batch, i)),
    result: { kind: 'plain' },
    record: { output: toHex(runs[segment]!.output), path: proveInclusion(tree, segment).map(toHex) },
  }))
}
