import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex, utf8 } from '../../core/bytes.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { ed25519KeyPair, type NodeId, nodeId } from '../../core/keys.ts'
import { type ExecutionFields, signExecution } from '../../core/poe.ts'
import { randomStream } from '../../core/sampling.ts'
import { mutateBytes } from '../../core/testing/mutate-bytes.ts'
import { type Answer, compareAnswers, type SignedAnswer, verifyAnswers } from './verifier.ts'

const digestOf = (text: string): Digest => sha256(utf8(text))
const idOf = (n: number) => toHex(digestOf(`node ${n}`)) as NodeId

/** Node n answers with result `result`. */
const answer = (n: number, result: string): Answer => ({
  nodeId: idOf(n),
  operator: `operator ${n}`,
  resultDigest: digestOf(result),
})

function compare(answers: readonly Answer[], tolerant?: (a: Answer, b: Answer) => boolean) {
  const compared = compareAnswers(answers, tolerant === undefined ? {} : { tolerant })
  if (!compared.ok) throw new Error(compared.message)
  return compared.value
}

describe('the verdict', () => {
  it('of two', () => {
    const agreed = compare([answer(1, 'x'), answer(2, 'x')])
    expect(agreed).toMatchObject({ outcome: 'agreed', result: digestOf('x'), lost: [] })
    const disagreed = compare([answer(1, 'x'), answer(2, 'y')])
    expect(disagreed).toMatchObject({ outcome: 'disagreed', lost: [] })
    expect(disagreed.reason).toContain(toHex(digestOf('y')).slice(0, 16))
  })

  it('of three', () => {
    expect(compare([answer(1, 'x'), answer(2, 'x'), answer(3, 'x')])).toMatchObject({ outcome: 'agreed' })
    const majority = compare([answer(1, 'x'), answer(2, 'y'), answer(3, 'x')])
    expect(majority).toMatchObject({ outcome: 'majority', result: digestOf('x'), lost: [idOf(2)] })
    expect(majority.reason).toContain(`node ${idOf(2)} gave`)
    const scattered = compare([answer(1, 'x'), answer(2, 'y'), answer(3, 'z')])
    expect(scattered).toMatchObject({ outcome: 'scattered', lost: [] })
    expect(scattered.outcome === 'scattered' && scattered.flagged).toHaveLength(3)
  })

  const results = fc.array(fc.constantFrom('x', 'y', 'z'), { minLength: 2, maxLength: 3 })

  it('never depends on the order of arrival', () => {
    fc.assert(
      fc.property(
        results.chain((list) => {
          const answers = list.map((result, n) => answer(n, result))
          return fc.tuple(
            fc.constant(answers),
            fc.shuffledSubarray(answers, { minLength: answers.length, maxLength: answers.length }),
          )
        }),
        ([answers, shuffled]) => {
          expect(compare(shuffled)).toEqual(compare(answers))
        },
      ),
    )
  })

  it('losers are never the majority, and results are equal where digests are', () => {
    fc.assert(
      fc.property(results, (list) => {
        const answers = list.map((result, n) => answer(n, result))
        const { lost, ...verdict } = compare(answers)
        expect(2 * lost.length).toBeLessThan(answers.length)
        if (verdict.outcome === 'agreed') expect(new Set(list).size).toBe(1)
        if (verdict.outcome === 'scattered' || verdict.outcome === 'disagreed') {
          expect(new Set(list).size).toBe(list.length)
          expect(lost).toEqual([])
        }
        if (verdict.outcome === 'majority' || verdict.outcome === 'agreed') {
          const isResult = (n: number) => toHex(answers[n]!.resultDigest) === toHex(verdict.result)
          list.forEach((_, n) => {
            expect(verdict.agreeing.includes(idOf(n))).toBe(isResult(n))
            expect(lost.includes(idOf(n))).toBe(!isResult(n))
          })
        }
      }),
    )
  })
})

describe('within a tolerance', () => {
  /** Results are numbers here, equal up to 1. */
  const near = (values: readonly number[]) => {
    const numbers = new Map(values.map((value) => [toHex(digestOf(`${value}`)), value]))
    const read = ({ resultDigest }: Answer) => numbers.get(toHex(resultDigest)) as number
    return (a: Answer, b: Answer) => Math.abs(read(a) - read(b)) <= 1
  }
  const judge = (values: readonly number[]) =>
    compare(
      values.map((value, n) => answer(n, `${value}`)),
      near(values),
    )

  it('near results agree, far ones lose', () => {
    expect(judge([5, 5.5])).toMatchObject({ outcome: 'agreed', lost: [] })
    expect(judge([5, 5.5]).reason).toContain('within the tolerance')
    expect(judge([5, 7])).toMatchObject({ outcome: 'disagreed' })
    expect(judge([5, 9, 5.5])).toMatchObject({ outcome: 'majority', lost: [idOf(1)] })
    expect(judge([5, 9, 13])).toMatchObject({ outcome: 'scattered' })
  })

  it('an answer between two that differ settles it, and nobody loses', () => {
    const between = judge([5, 7, 6])
    expect(between).toMatchObject({ outcome: 'agreed', resultOf: idOf(2), lost: [] })
    expect(between).toMatchObject({ result: digestOf('6') })
  })

  it('does not depend on the order either, even when the comparison is lopsided', () => {
    const lopsided = (a: Answer, b: Answer) => toHex(a.resultDigest) < toHex(b.resultDigest)
    fc.assert(
      fc.property(
        fc.shuffledSubarray([answer(1, 'x'), answer(2, 'y'), answer(3, 'z')], {
          minLength: 3,
          maxLength: 3,
        }),
        (shuffled) => {
          const sorted = [answer(1, 'x'), answer(2, 'y'), answer(3, 'z')]
          expect(compare(shuffled, lopsided)).toEqual(compare(sorted, lopsided))
        },
      ),
    )
  })
})

describe('refuses', () => {
  const x = answer(1, 'x')
  it.each([
    ['one answer', [x]],
    ['four answers', [1, 2, 3, 4].map((n) => answer(n, 'x'))],
    ['two of one node', [x, { ...answer(2, 'y'), nodeId: x.nodeId }]],
    ['two of one operator', [x, { ...answer(2, 'y'), operator: x.operator }]],
    ['no operator', [x, { ...answer(2, 'y'), operator: '' }]],
    ['a long operator', [x, { ...answer(2, 'y'), operator: 'o'.repeat(257) }]],
    ['a short digest', [x, { ...answer(2, 'y'), resultDigest: new Uint8Array(31) as Digest }]],
    ['a made-up node id', [x, { ...answer(2, 'y'), nodeId: 'node' as NodeId }]],
    ['no list', null as unknown as Answer[]],
  ])('%s', (_, answers) => {
    expect(compareAnswers(answers)).toMatchObject({ ok: false, code: 'redundancy/answers' })
  })
})

describe('signed answers', () => {
  const fields = { taskDigest: digestOf('task'), inputDigest: digestOf('input') }
  async function signed(
    n: number,
    result: string,
    other: Partial<ExecutionFields> = {},
  ): Promise<SignedAnswer> {
    const key = ed25519KeyPair(digestOf(`key ${n}`))
    const execution = await signExecution(
      {
        ...fields,
        requestId: utf8('request'),
        resultDigest: digestOf(result),
        nodeId: nodeId(key.publicKey),
        nonce: digestOf(`nonce ${n}`),
        ...other,
      },
      key,
    )
    return { execution, operator: `operator ${n}` }
  }

  it('are compared once their signatures hold', async () => {
    const verdict = await verifyAnswers(await Promise.all([signed(1, 'x'), signed(2, 'y'), signed(3, 'x')]), {
      expected: fields,
    })
    expect(verdict).toMatchObject({ ok: true, value: { outcome: 'majority', result: digestOf('x') } })
  })

  it('of different work are refused', async () => {
    const other = await signed(2, 'x', { inputDigest: digestOf('another input') })
    expect(await verifyAnswers([await signed(1, 'x'), other])).toMatchObject({
      ok: false,
      code: 'poe/mismatch',
    })
    expect(
      await verifyAnswers([await signed(1, 'x'), await signed(2, 'x')], {
        expected: { taskDigest: digestOf('another task') },
      }),
    ).toMatchObject({ ok: false, code: 'poe/mismatch' })
  })

  it('altered or malformed are refused, never thrown', async () => {
    const [a, b] = [await signed(1, 'x'), await signed(2, 'x')]
    const stream = randomStream(digestOf('mutations'), 'signature')
    for (let i = 0; i < 100; i++) {
      const signature = mutateBytes(b.execution.signature, stream)
      const altered = { ...b, execution: { ...b.execution, signature } }
      expect((await verifyAnswers([a, altered])).ok).toBe(false)
    }
    const swapped = { ...b.execution.fields, resultDigest: digestOf('y') }
    expect(await verifyAnswers([a, { ...b, execution: { ...b.execution, fields: swapped } }])).toMatchObject({
      ok: false,
      code: 'signature/invalid',
    })
    for (const wrong of [null, [], [a], [a, null], [a, {}], [a, { ...b, operator: 7 }], [a, a], 'answers']) {
      expect((await verifyAnswers(wrong as SignedAnswer[])).ok, JSON.stringify(wrong)).toBe(false)
    }
  })
})
