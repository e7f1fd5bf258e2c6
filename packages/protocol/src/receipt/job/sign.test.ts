import { beforeAll, describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { type JobReceiptParts, makeJobStatement } from './sign.ts'
import { coordinatorKey, plainWorld, seed, seedSource } from './testing/job-world.ts'
import { type SignedWorld, signWorld } from './testing/lies.ts'

let plain: SignedWorld

beforeAll(async () => {
  plain = await signWorld(await plainWorld())
})

describe('parts that do not fit', () => {
  it.each([
    ['a node that is not listed', (p) => ({ ...p, nodes: p.nodes.slice(1) })],
    ['a node that is listed twice', (p) => ({ ...p, nodes: [...p.nodes, p.nodes[0]!] })],
    ['a segment too few', (p) => ({ ...p, segments: [...p.segments].slice(1) })],
    [
      'a key that is none',
      (p) => ({
        ...p,
        nodes: [{ ...p.nodes[0]!, publicKey: { type: 'ed25519', bytes: new Uint8Array(3) } }],
      }),
    ],
    ['credits of a stranger', (p) => ({ ...p, credits: { paid: 1, byNode: { ['0'.repeat(64)]: 1 } } })],
    [
      'a verifier that is not listed',
      (p) => ({
        ...p,
        checks: [
          {
            segment: 0,
            commitment: new Uint8Array(32),
            verifierId: 'x',
            samples: 1,
            confidence: null,
            receipt: new Uint8Array(32),
          },
        ],
      }),
    ],
  ] satisfies [string, (parts: JobReceiptParts) => JobReceiptParts][])('%s', (_, change) => {
    expect(() => makeJobStatement(change(plain.parts), coordinatorKey.publicKey)).toThrow(
      expect.objectContaining({ code: 'job-receipt/parts' }),
    )
  })

  it('fields out of range', () => {
    const bad = { ...plain.parts, work: { ...plain.parts.work, taskId: 'x' } }
    expect(() => makeJobStatement(bad, coordinatorKey.publicKey)).toThrow(
      expect.objectContaining({ code: 'codec/schema' }),
    )
    const local = { ...plain.parts, seed: { kind: 'local', seed: toHex(seed) } } as const
    expect(() => makeJobStatement(local, coordinatorKey.publicKey)).toThrow(
      expect.objectContaining({ code: 'codec/schema' }),
    )
    expect(seedSource.kind).toBe('commit-reveal')
  })
})
