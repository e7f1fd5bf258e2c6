/**
 * Digests of every tensor of a run: what is compared between environments. Runs in Node and in a page alike.
 *
 * A digest is SHA-256 over the canonical encoding of a tensor: element type, shape and every bit of the data.
 * Two runs are equal when the lists are.
 */
import { openGraph } from 'assay/onnx/graph'
import { decodeInputs } from 'assay/onnx/inputs'
import { loadModel } from 'assay/onnx/model'
import { traceRun } from 'assay/onnx/traced-run'
import { encodeTensor } from 'assay/state/tensor'

/** `job`: `{ model, inputs }`, the bytes of an ONNX file and of an .npz of its inputs. */
export function openJob({ model: modelBytes, inputs: inputBytes }) {
  const model = loadModel(modelBytes)
  return { graph: openGraph(model), inputs: decodeInputs(inputBytes, 'npz', { expect: model.inputs }) }
}

/** The trace of a job: `{ name, node, operator, tensor }`; 'input' is the operator of what is given. */
export async function* traceJob(job, runtime) {
  const { graph, inputs } = openJob(job)
  for await (const { node, name, tensor } of traceRun(graph, runtime, inputs, { mode: 'all' })) {
    yield { name, operator: node < 0 ? 'input' : graph.nodes[node].operator, tensor }
  }
}

/**
 * @param onTensor called with each tensor's position and canonical encoding; may be asynchronous.
 * @returns `[{ name, operator, dtype, shape, digest }]` in the order of the trace.
 */
export async function digestJob(job, runtime, onTensor = () => {}) {
  const rows = []
  for await (const { name, operator, tensor } of traceJob(job, runtime)) {
    const encoding = encodeTensor(tensor)
    await onTensor(rows.length, encoding)
    const { dtype, shape } = tensor
    rows.push({ name, operator, dtype, shape, digest: await sha256(encoding) })
  }
  return rows
}

/** One digest for a whole run: over the digests of its tensors, in order. */
export async function digestOfRun(rows) {
  return sha256(new TextEncoder().encode(rows.map(({ digest }) => digest).join('\n')))
}

/** The platform's own SHA-256, in hexadecimal: the library's would dominate the time under emulation. */
async function sha256(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
