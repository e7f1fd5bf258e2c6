import { expect, it } from 'vitest'
import { toBase64 } from '../../core/bytes.ts'
import { evidenceOf, parseEvidence } from './evidence.ts'
import {
  parseSolverProof,
  parseSolverRequest,
  parseSolverResponse,
  parseVerifierRequest,
} from './messages.ts'
import { solve } from './prover.ts'
import { check, cubes, job, range, requestOf, solverKey } from './testing/fixtures.ts'

const proof = { bloomFilter: 'BgAAAAAAAAATyZobYFxwRk2pnAU=', countItems: 10 }

it('has the field names and defaults of the published models', () => {
  expect(parseSolverRequest({ solverInput: [1] })).toEqual({ solverInput: [1], falsePositiveRate: 0.01 })
  expect(parseSolverResponse({ solverOutput: 129, solverProof: proof }).solverProof).toEqual(proof)
  const request = parseVerifierRequest({
    solverRequest: { solverInput: [1], falsePositiveRate: 0.5 },
    solverOutput: 1,
    solverProof: proof,
  })
  expect(request.verificationRatio).toBe(0.1)
})

it.each([
  [parseSolverRequest, { solverInput: 1, falsePositiveRate: 1.5 }],
  [parseSolverRequest, { solverInput: 1, falsePositiveRate: '0.1' }],
  [parseSolverRequest, { solverInput: 1, extra: 1 }],
  [parseSolverProof, { ...proof, countItems: -1 }],
  [parseSolverProof, { ...proof, countItems: 0.5 }],
  [parseSolverProof, { ...proof, bloomFilter: 7 }],
  [parseSolverProof, { ...proof, salt: '' }],
  [parseSolverProof, null],
  [parseVerifierRequest, { solverRequest: {}, solverOutput: 1, solverProof: proof, verificationRatio: 2 }],
])('%o refuses %j', (parse, value) => {
  expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'codec/schema' }))
})

it('reads evidence strictly, and makes it of any rejection', () => {
  const evidence = evidenceOf({ ok: false, code: 'a/b', message: 'm', detail: { expected: 1, found: 2 } })
  expect(parseEvidence(evidence)).toEqual({
    code: 'a/b',
    message: 'm',
    stateIndex: null,
    expected: 1,
    found: 2,
  })
  expect(() => parseEvidence({ ...evidence, extra: 1 })).toThrow(
    expect.objectContaining({ code: 'codec/schema' }),
  )
})

it('refuses a proof that is far too large before it decodes it', async () => {
  const request = requestOf(range(10))
  const solution = await solve(cubes, request, { job, key: solverKey })
  const bloomFilter = toBase64(new Uint8Array(40_000_000))
  const hostile = {
    ...solution,
    response: { ...solution.response, solverProof: { bloomFilter, countItems: 10 } },
  }
  const { response } = await check(cubes, request, { solution: hostile, ask: { samples: 1 } })
  expect(response.evidence?.code).toBe('sampling/proof')
})
