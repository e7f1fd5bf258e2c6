import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { AssayError } from '../core/errors.ts'
import { parseAnswer } from './answer.ts'
import type { Problem } from './api.ts'
import { fromProblem } from './problem.ts'
import { valueRef } from './text.ts'
import { workSpec } from './work.ts'

const cid = `b${'a'.repeat(58)}`
const view = z.strictObject({
  name: z.string(),
  value: z.nullable(valueRef),
  list: z.array(z.strictObject({ work: workSpec })),
  any: z.json(),
})
const known = {
  name: 'x',
  value: { cid },
  list: [{ work: { kind: 'onnx', model: cid, runtime: 'native', batch: 'first-axis' } }],
  any: { free: [1, { form: true }] },
}

describe('answers', () => {
  it('are read as they are, and with fields of a later version', () => {
    expect(parseAnswer(view, known, 'view')).toEqual(known)
    const later = {
      ...known,
      newer: 1,
      value: { cid, expiresAt: 'tomorrow' },
      list: [{ work: { ...known.list[0]?.work, precision: 16 }, note: { deep: {} } }],
    }
    const copy = structuredClone(later)
    expect(parseAnswer(view, later, 'view')).toEqual(known)
    expect(later).toEqual(copy)
  })

  it('are refused where a known field is missing or wrong', () => {
    for (const bad of [
      { ...known, name: 3 },
      { ...known, value: { other: 1 } },
      { ...known, list: [{ work: { kind: 'other' } }] },
      { name: 'x' },
      null,
      [],
    ]) {
      expect(() => parseAnswer(view, bad, 'view')).toThrow(expect.objectContaining({ code: 'wire/answer' }))
    }
  })

  it('never end in an untyped error', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        try {
          parseAnswer(view, value, 'view')
        } catch (error) {
          expect(error).toBeInstanceOf(AssayError)
        }
      }),
    )
  })
})

describe('problems', () => {
  it('become errors, with fields of a later version too', () => {
    const told: Problem = {
      type: 'urn:assay:error:wire/quota',
      title: 'Too many requests',
      status: 429,
      detail: 'too many jobs',
      instance: 'urn:assay:request:1',
      code: 'wire/quota',
      remedy: 'wait',
      data: { retryAfterSeconds: 3 },
    }
    expect(fromProblem(429, { ...told, later: true }).toJSON()).toEqual({
      code: 'wire/quota',
      message: 'too many jobs',
      detail: { retryAfterSeconds: 3, status: 429, instance: 'urn:assay:request:1' },
    })
  })

  it('are told from answers of other programs', () => {
    expect(fromProblem(502, '<html>').code).toBe('wire/unavailable')
    expect(fromProblem(404, '<html>').code).toBe('wire/answer')
    expect(fromProblem(404, { code: 'x', detail: 3 }).code).toBe('wire/answer')
    expect(fromProblem(404, 'x'.repeat(10_000)).message.length).toBeLessThan(200)
    expect(fromProblem(400, { code: 'no code', detail: '' }).code).toBe('wire/answer')
  })
})
