/**
 * A whole job, to be run by a page: solve, verify, and refuse an altered output. `chromium.slow.test.ts` bundles
 * it and runs it in Chromium. Its result must not depend on where it runs.
 */
import * as z from 'zod/mini'
import { toHex, utf8 } from '../src/core/bytes.ts'
import { sha256 } from '../src/core/digest.ts'
import { ed25519KeyPair, generateKey, sign, verifySignature } from '../src/core/keys.ts'
import { solveAdversarially } from '../src/method/sampling/cheat.ts'
import { type Solution, solve } from '../src/method/sampling/prover.ts'
import { verifyLazy } from '../src/method/sampling/verifier.ts'
import { integerState } from '../src/state/integer.ts'
import { valueCodec } from '../src/state/value.ts'
import { defineTask } from '../src/task/define.ts'

const STATES = 2000

const squares = defineTask({
  name: 'squares',
  version: '1',
  shape: 'parallel',
  input: valueCodec({ name: 'squares', schema: z.int().check(z.positive()) }),
  state: integerState(),
  count: (size) => size,
  compute: (_, index) => BigInt(index) ** 2n,
})

export interface ScenarioResult {
  readonly proofDigest: string
  readonly honest: boolean
  readonly altered: boolean
  readonly evidence: string | undefined
  readonly rsa: boolean
}

export async function scenario(): Promise<ScenarioResult> {
  const request = { solverInput: STATES, falsePositiveRate: 0.01 }
  const job = { requestId: sha256(utf8('request')), nonce: sha256(utf8('nonce')) }
  const options = { job, key: ed25519KeyPair(sha256(utf8('key'))) }
  const honest = await solve(squares, request, options)
  const altered = await solveAdversarially(squares, request, {
    ...options,
    alter: (rows) => rows.map((row, index) => (index % 20 === 0 ? BigInt(row) + 1n : row)),
  })
  const check = async ({
    response,
    commitment,
    states,
  }: Solution<number | bigint, readonly (number | bigint)[]>) => {
    const asked = { solverRequest: request, ...response, verificationRatio: 0.1 }
    const seed = sha256(utf8('seed'))
    const ask = { confidence: 0.99, faked: 0.05 }
    return (await verifyLazy(squares, asked, { job, commitment, states, seed, ask })).response
  }
  const [accepted, refused] = [await check(honest), await check(altered)]
  return {
    proofDigest: toHex(sha256(utf8(honest.response.solverProof.bloomFilter))),
    honest: accepted.isVerified,
    altered: refused.isVerified,
    evidence: refused.evidence?.code,
    rsa: await signsWithRsa(),
  }
}

async function signsWithRsa(): Promise<boolean> {
  const key = await generateKey('rsa-pss-3072')
  const message = utf8('message')
  return (await verifySignature(key.publicKey, message, await sign(key, message))).ok
}
