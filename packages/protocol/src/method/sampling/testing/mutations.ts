/**
 * Mutations of a valid signed response: whatever is changed, the verdict is a rejection with a code, and
 * nothing is thrown. The quick suite runs some, the slow one 100,000.
 */
import { fromBase64, toBase64 } from '../../../core/bytes.ts'
import { AssayError } from '../../../core/errors.ts'
import { executionFromJson, executionToJson } from '../../../core/poe.ts'
import { type RandomStream, randomStream, uniformInteger } from '../../../core/sampling.ts'
import { mutateBytes } from '../../../core/testing/mutate-bytes.ts'
import type { ProofKind } from '../proof.ts'
import { type Solution, solve } from '../prover.ts'
import { bytes32, check, cubes, job, range, requestOf, solverKey } from './fixtures.ts'

type Integer = bigint | number
type CubesSolution = Solution<Integer, readonly Integer[]>

const request = requestOf(range(24))

export interface MutationReport {
  readonly codes: ReadonlyMap<string, number>
  readonly accepted: readonly string[]
  readonly thrown: readonly string[]
}

/** Runs `count` mutations drawn from `seed`, a third each on proof bytes, proof text and commitment. */
export async function runMutations(count: number, seed: string): Promise<MutationReport> {
  const kinds: readonly ProofKind[] = ['bloom', 'fingerprint']
  const solutions: CubesSolution[] = []
  for (const proof of kinds) solutions.push(await solve(cubes, request, { job, key: solverKey, proof }))
  const stream = randomStream(bytes32(seed), 'mutations')
  const codes = new Map<string, number>()
  const accepted: string[] = []
  const thrown: string[] = []
  for (let i = 0; i < count; i++) {
    const valid = solutions[uniformInteger(stream, solutions.length)] as CubesSolution
    const what = `mutation ${i}`
    try {
      const solution = mutate(valid, stream)
      const { response } = await check(cubes, request, { solution, ask: { samples: 3 } })
      if (response.isVerified) accepted.push(what)
      const code = response.evidence?.code ?? 'none'
      codes.set(code, (codes.get(code) ?? 0) + 1)
    } catch (error) {
      if (error instanceof AssayError && error.detail.boundary === 'json') {
        codes.set(`json: ${error.code}`, (codes.get(`json: ${error.code}`) ?? 0) + 1)
      } else thrown.push(`${what}: ${String(error)}`)
    }
  }
  return { codes, accepted, thrown }
}

function mutate(valid: CubesSolution, stream: RandomStream): CubesSolution {
  const { solverOutput, solverProof } = valid.response
  const withProof = (bloomFilter: string, countItems = solverProof.countItems) => ({
    ...valid,
    response: { solverOutput, solverProof: { bloomFilter, countItems } },
  })
  switch (uniformInteger(stream, 6)) {
    case 0:
    case 1:
      return withProof(toBase64(mutateBytes(fromBase64(solverProof.bloomFilter), stream)))
    case 2:
      return withProof(mutateText(solverProof.bloomFilter, stream))
    case 3:
      return withProof(solverProof.bloomFilter, oddNumber(stream, solverProof.countItems))
    case 4: {
      const rows = [...solverOutput]
      rows[uniformInteger(stream, rows.length)] = -1n - BigInt(uniformInteger(stream, 1000))
      return { ...valid, response: { solverProof, solverOutput: rows } }
    }
    default:
      return { ...valid, commitment: mutateCommitment(valid, stream) }
  }
}

/** A commitment as it comes over the wire: mutated JSON, parsed strictly. */
function mutateCommitment({ commitment }: CubesSolution, stream: RandomStream) {
  const json = JSON.stringify(executionToJson(commitment))
  let text = json
  while (text === json) text = mutateText(json, stream)
  try {
    return executionFromJson(JSON.parse(text))
  } catch (error) {
    const isTyped = error instanceof AssayError || error instanceof SyntaxError
    if (!isTyped) throw error
    const code = error instanceof AssayError ? error.code : 'json/syntax'
    throw new AssayError(code, error.message, { detail: { boundary: 'json' } })
  }
}

function mutateText(text: string, stream: RandomStream): string {
  const at = uniformInteger(stream, text.length)
  switch (uniformInteger(stream, 3)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return `${text.slice(0, at)}=${text.slice(at)}`
    default: {
      const other = String.fromCharCode(33 + uniformInteger(stream, 94))
      return other === text[at] ? text.slice(1) : text.slice(0, at) + other + text.slice(at + 1)
    }
  }
}

function oddNumber(stream: RandomStream, not: number): number {
  const candidates = [0, -1, 1.5, not + 1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY]
  return candidates[uniformInteger(stream, candidates.length)] as number
}
