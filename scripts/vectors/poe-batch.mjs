/**
 * Makes vectors/poe-batch.json from the built library; with --check, compares instead and exits 1 on a difference.
 * The test beside core/poe-batch.ts checks the file with node:crypto and code of its own.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { sha256 } from 'assay/core/digest'
import { ed25519KeyPair, nodeId } from 'assay/core/keys'
import { fieldsToJson } from 'assay/core/poe'
import {
  batchedExecutionToJson,
  commitExecutions,
  executionsFromBatch,
  signExecutionBatch,
} from 'assay/core/poe-batch'

const file = new URL('../../vectors/poe-batch.json', import.meta.url)
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const digest = (text) => sha256(new TextEncoder().encode(text))

const seed = '07'.repeat(32)
const key = ed25519KeyPair(new Uint8Array(Buffer.from(seed, 'hex')))
const fieldsOf = (i) => ({
  requestId: new TextEncoder().encode(`request ${'x'.repeat(40 * i)}${i}`),
  taskDigest: digest('task'),
  inputDigest: digest(`input ${i}`),
  resultDigest: digest(`result ${i}`),
  nodeId: nodeId(key.publicKey),
  nonce: digest(`nonce ${i}`),
})

const cases = []
for (const count of [1, 2, 3]) {
  const fields = Array.from({ length: count }, (_, i) => fieldsOf(i))
  const { publicKey, signature, root } = await signExecutionBatch(fields, key)
  const batch = { fields, publicKey, signature }
  cases.push({
    count,
    fields: fields.map(fieldsToJson),
    commitments: commitExecutions(fields).map(hex),
    root: hex(root),
    signature: hex(signature),
    executions: executionsFromBatch(batch, [...fields.keys()]).map(batchedExecutionToJson),
  })
}
const vectors = {
  description: 'poe-batch v1: one signature over many executions; packages/protocol/src/core/poe-batch.ts',
  madeBy: 'scripts/vectors/poe-batch.mjs',
  secretKey: seed,
  publicKey: hex(key.publicKey.bytes),
  nodeId: nodeId(key.publicKey),
  cases,
}
const text = `${JSON.stringify(vectors, null, 2)}\n`
if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (readFileSync(file, 'utf8') !== text) {
  console.error('vectors/poe-batch.json is not what the library makes; poe-batch v1 must never change')
  process.exitCode = 1
}
