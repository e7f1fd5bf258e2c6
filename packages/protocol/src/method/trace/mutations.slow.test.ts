import { expect, it } from 'vitest'
import { sha256 } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'
import { ed25519KeyPair } from '../../core/keys.ts'
import { randomStream, uniformInteger } from '../../core/sampling.ts'
import { mutateBytes } from '../../core/testing/mutate-bytes.ts'
import { openGraph } from '../../onnx/graph.ts'
import { loadModel } from '../../onnx/model.ts'
import { wasmRuntime } from '../../onnx/runtime-wasm.ts'
import { denseModel } from '../../onnx/testing/models.ts'
import { tensor } from '../../state/tensor.ts'
import { decodeOpenings, encodeOpenings } from './proof.ts'
import { commitTrace, memoryStore, openTensors } from './prover.ts'
import { checkOpenings, openTraceResponse, positionsOf } from './verifier.ts'

const MUTATIONS = 100_000

it('refuses 100,000 mutations of valid openings with a code', { timeout: 1_200_000 }, async () => {
  const bytes32 = (text: string) => sha256(new TextEncoder().encode(text))
  const key = ed25519KeyPair(bytes32('prover'))
  const job = { requestId: bytes32('request'), nonce: bytes32('nonce') }
  const runtime = await wasmRuntime()
  const graph = openGraph(loadModel(denseModel()))
  const inputs = {
    x: tensor(
      'float32',
      [2, 4],
      Float32Array.from({ length: 8 }, (_, i) => Math.sin(i)),
    ),
  }
  const store = memoryStore()
  const response = await commitTrace(graph, { runtime, inputs }, { job, key, store })
  const opened = await openTraceResponse(graph, response, { job, inputs, runtime })
  if (!opened.ok) throw new Error(opened.message)
  const nodes = [0, 2]
  const valid = encodeOpenings(await openTensors(response.manifest, positionsOf(graph, nodes), store))
  const stream = randomStream(bytes32('openings'), 'mutations')
  const codes = new Map<string, number>()
  const count = (code: string) => codes.set(code, (codes.get(code) ?? 0) + 1)
  for (let i = 0; i < MUTATIONS; i++) {
    let bytes = mutateBytes(valid, stream)
    if (uniformInteger(stream, 4) === 0) bytes = mutateBytes(bytes.length > 0 ? bytes : valid, stream)
    if (bytes.length === valid.length && bytes.every((byte, at) => byte === valid[at])) continue
    try {
      const openings = decodeOpenings(bytes)
      const { traceRoot } = opened.value
      const evidence = await checkOpenings(graph, { traceRoot, nodes, openings }, { runtime })
      expect(evidence, `mutation ${i} was accepted`).not.toBeNull()
      count(evidence?.code ?? '')
    } catch (error) {
      if (!(error instanceof AssayError)) throw error
      count(error.code)
    }
  }
  console.log(Object.fromEntries(codes))
  expect(codes.size).toBeGreaterThan(3)
})
