import { ed25519KeyPair } from 'assay/core/keys'
import { lazyTask, solveAdversarially } from 'assay/method/sampling/cheat'
import { acceptsState } from 'assay/method/sampling/lookup'
import { solve } from 'assay/method/sampling/prover'
import { describe, expect, it } from 'vitest'
import { runExample } from '../run-example.mjs'
import { verify } from '../two-parties.mjs'
import { embed, machineNoise } from './embedder.mjs'
import { embeddingTask, guessProbability } from './task.mjs'
import { reviews } from './texts.mjs'

const fill = (value: number) => new Uint8Array(32).fill(value)
const key = ed25519KeyPair(fill(1))
const job = { requestId: fill(2), nonce: fill(3) }
const seed = fill(4)
const theirs = embeddingTask('theirs')
const ours = embeddingTask('ours')
const request = { solverInput: reviews, falsePositiveRate: 0.01 }
const ask = { confidence: 0.99, faked: 0.2 }

describe('embeddings', () => {
  it('differ between machines, and pass', () => {
    for (const text of reviews) {
      const [a, b] = [machineNoise(embed(text), 'a'), machineNoise(embed(text), 'b')]
      expect(a).not.toEqual(b)
      expect(acceptsState(ours.state, a, b)).toBe(true)
    }
  })

  it('of two texts do not pass for one another', () => {
    for (const [i, text] of reviews.entries()) {
      for (const other of reviews.slice(0, i)) {
        expect(acceptsState(ours.state, embed(text), embed(other))).toBe(false)
      }
    }
  })

  it('are of one task on every machine, with a chance of guessing that is told', () => {
    expect(ours.id).toBe(theirs.id)
    expect(guessProbability).toBeGreaterThan(0)
    expect(guessProbability).toBeLessThan(0.2)
  })
})

describe('solvers', () => {
  it('honest, on another machine: accepted', async () => {
    const solution = await solve(theirs, request, { job, key })
    const { response, check } = await verify(ours, request, { job, solution, ask, seed })
    expect(response.isVerified).toBe(true)
    expect(check.guessProbability).toBe(guessProbability)
  })

  it('lazy, with embeddings of other texts: rejected', async () => {
    const faked = new Set(Array.from({ length: 20 }, (_, i) => 2 * i))
    const cheat = lazyTask(theirs, faked, (texts: readonly string[], i) => embed(texts[i + 1] ?? ''))
    const solution = await solve(cheat, request, { job, key })
    const { response } = await verify(ours, request, { job, solution, ask, seed })
    expect(response.evidence?.code).toBe('sampling/state-mismatch')
    expect(faked.has(response.evidence?.stateIndex ?? -1)).toBe(true)
  })

  it('adversarial, with two rows swapped: rejected without a sample', async () => {
    const alter = ([one, two, ...rest]: readonly Float64Array[]) => [two, one, ...rest] as Float64Array[]
    const solution = await solveAdversarially(theirs, request, { job, key, alter })
    const { response } = await verify(ours, request, { job, solution, ask: { samples: 0 }, seed })
    expect(response.evidence?.code).toBe('sampling/output-row')
  })
})

it('runs', async () => {
  const output = await runExample('embedding')
  expect(output).toMatch(/honest solver: accepted .*confidence 99/)
  expect(output).toContain('lazy solver: rejected (sampling/state-mismatch)')
  expect(output).toContain('adversarial solver: rejected (sampling/output-row)')
})
