import { describe, expect, it } from 'vitest'
import type * as z from 'zod/mini'
import { parseWith } from '../core/codec.ts'
import { ROUTES, type Route } from './api.ts'
import { openApiDocument } from './openapi.ts'
import { EXAMPLES } from './openapi-examples.ts'
import { SCHEMA_PATH } from './openapi-schemas.ts'

type Any = { readonly [key: string]: Any }
const document = openApiDocument() as unknown as Any

describe('the OpenAPI document', () => {
  it('has every route once, with its operation', () => {
    const found = Object.entries(document.paths as Any).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => `${method} ${path} ${operation.operationId}`),
    )
    const wanted = Object.entries(ROUTES).map(
      ([operation, { method, path }]) => `${method.toLowerCase()} ${path} ${operation}`,
    )
    expect(found.sort()).toEqual(wanted.sort())
  })

  it('refers to nothing that is not there, and names nothing that nobody needs', () => {
    const refs = new Set([...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref))
    for (const ref of refs) {
      const target = (ref as string)
        .slice(2)
        .split('/')
        .reduce<Any | undefined>((value, key) => value?.[key], document)
      expect(target, ref).toBeDefined()
    }
    const names = Object.keys(document.components?.schemas as Any)
    expect(names.filter((name) => !refs.has(SCHEMA_PATH + name))).toEqual(['EventView'])
    expect(JSON.stringify(document)).not.toContain('__shared')
  })

  it('refuses unknown fields on the way in, and is open on the way out', () => {
    const { JobSpec, JobSpecInput, LeaseRequest } = (document.components as Any).schemas as Any
    expect(JobSpecInput?.additionalProperties).toBe(false)
    expect(LeaseRequest?.additionalProperties).toBe(false)
    expect(JobSpec?.additionalProperties).toBeUndefined()
    expect(JobSpecInput?.required).not.toContain('priority')
    expect(JobSpec?.required).toContain('priority')
  })

  it('says for each route who may call it', () => {
    for (const item of Object.values(document.paths as Any)) {
      for (const operation of Object.values(item)) {
        const { auth } = ROUTES[operation.operationId as unknown as keyof typeof ROUTES]
        expect(operation.security as unknown as unknown[]).toHaveLength(auth === 'public' ? 0 : 1)
      }
    }
  })

  it('gives every body a schema, of bytes too: without one, generators of clients leave the operation out', () => {
    const missing = Object.entries(document.paths as Any).flatMap(([path, item]) =>
      Object.entries(item).flatMap(([method, { requestBody, responses }]) =>
        [requestBody, ...Object.values(responses as Any)].flatMap((part) =>
          Object.entries(part?.content ?? {})
            .filter(([, media]) => media.schema === undefined)
            .map(([type]) => `${method} ${path} ${type}`),
        ),
      ),
    )
    expect(missing).toEqual([])
  })

  it('has patterns that the engines of other languages read', () => {
    const patterns = [...JSON.stringify(document).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)]
    const texts = new Set(patterns.map(([, text]) => JSON.parse(text as string) as string))
    expect(texts.size).toBeGreaterThan(5)
    // Properties of Unicode, lookbehind and named groups are what they differ in.
    for (const text of texts) expect(text).not.toMatch(/\\[pPu]|\(\?<|\(\?[=!]/)
  })

  it('has examples that the schemas accept', () => {
    for (const [operation, { body, response }] of Object.entries(EXAMPLES)) {
      const route: Route = ROUTES[operation as keyof typeof ROUTES]
      if (body !== undefined) parseWith(route.body as z.ZodMiniType, body, operation)
      if (response !== undefined)
        expect(parseWith(route.response as z.ZodMiniType, response, operation)).toEqual(response)
    }
  })
})
