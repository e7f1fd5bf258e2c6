/**
 * Drawing the nodes to open: with probability by cost, from a seed that came after the commitment.
 *
 * For other languages ("trace challenge v1"): with the random stream of core/sampling.ts under the label
 * "trace", each draw takes first an integer below 10: at 0 the node is the integer below N; else an integer r
 * below the sum of the costs is drawn, and the node is the first whose running sum of costs exceeds r. Costs
 * are integers; a sum beyond 2^53 - 1 has all costs divided by the smallest power of two that helps, rounded
 * down, and never to below 1.
 */
import { hashFields } from '../../core/digest.ts'
import { AssayError } from '../../core/errors.ts'
import { randomStream, uniformInteger } from '../../core/sampling.ts'
import { UNIFORM_SHARE } from './security.ts'

const UNIFORM_ONE_IN = Math.round(1 / UNIFORM_SHARE)

export interface WeightedNode {
  /** Position in the graph. */
  readonly node: number
  /** Integer, at least 1. */
  readonly cost: number
}

/** The nodes of `draws` draws, each once, ascending. `seed` has 32 bytes: `challengeSeed` of core/seed.ts. */
export function drawNodes(
  seed: Uint8Array,
  { nodes, draws }: { readonly nodes: readonly WeightedNode[]; readonly draws: number },
): number[] {
  if (nodes.length === 0)
    throw new AssayError('trace/config', 'expected a model with at least one node to check')
  const running = runningSums(nodes)
  const total = running[running.length - 1] as number
  const stream = randomStream(seed, 'trace')
  const drawn = new Set<number>()
  for (let draw = 0; draw < draws; draw++) {
    const position =
      uniformInteger(stream, UNIFORM_ONE_IN) === 0
        ? uniformInteger(stream, nodes.length)
        : firstAbove(running, uniformInteger(stream, total))
    drawn.add((nodes[position] as WeightedNode).node)
  }
  return [...drawn].sort((a, b) => a - b)
}

/**
 * The seed of the non-interactive form: nothing but the commitment. A prover can try commitments (by changing
 * its nonce or key) until it likes the nodes; see `grindingBits`.
 */
export function transcriptSeed(commitmentDigest: Uint8Array): Uint8Array {
  return hashFields('assay/trace-transcript/v1', [commitmentDigest])
}

function runningSums(nodes: readonly WeightedNode[]): number[] {
  let scale = 1
  while (nodes.reduce((sum, { cost }) => sum + scaled(cost, scale), 0) > Number.MAX_SAFE_INTEGER) scale *= 2
  let sum = 0
  return nodes.map(({ cost }) => {
    sum += scaled(cost, scale)
    return sum
  })
}

function scaled(cost: number, scale: number): number {
  return Math.max(1, Math.floor(cost / scale))
}

/** Position of the first element above `value`, in an ascending list whose last element is above it. */
function firstAbove(ascending: readonly number[], value: number): number {
  let low = 0
  let high = ascending.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ascending[middle] as number) > value) high = middle
    else low = middle + 1
  }
  return low
}
