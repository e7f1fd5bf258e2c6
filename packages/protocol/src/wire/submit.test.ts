import { afterEach, expect, it } from 'vitest'
import { utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import { encodeRows } from '../task/rows.ts'
import { createClient } from './client.ts'
import { EXAMPLES } from './openapi-examples.ts'
import { type JobDraft, submitJob } from './submit.ts'
import { json, serve, type TestServer } from './testing/server.ts'

const servers: TestServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

const DRAFT: JobDraft = {
  work: { kind: 'chat', model: 'llama', temperature: 0, seed: 1, maxTokens: 5, compare: 'text' },
  rows: 1,
  segmentRows: 1,
  validation: { redundancy: {} },
  pricePerSegment: 1,
  budget: 3,
}
/** What a coordinator makes of it. */
const DEFAULTS = { name: 'job', priority: 5, deadlineSeconds: 3600, leaseSeconds: 30, maxAttempts: 5 }

/** Submits to a coordinator that answers with the job that it took, and says that it is this one. */
async function submitTo(change: object): Promise<unknown> {
  const server = await serve(({ body }, answer) => {
    const sent = JSON.parse(body.toString())
    const spec = { ...DEFAULTS, ...sent, validation: { redundancy: { share: 0.1 } }, ...change }
    json(answer, { ...(EXAMPLES.submitJob?.response as object), spec }, 201)
  })
  servers.push(server)
  const client = createClient({ url: server.url, token: 'assay_token' })
  return submitJob(client, DRAFT, { input: encodeRows([utf8('hello')]) })
}

it('gives the job that was submitted, with what was left to its defaults', async () => {
  expect(await submitTo({})).toMatchObject({
    spec: { priority: 5, validation: { redundancy: { share: 0.1 } } },
  })
})

it('refuses a coordinator that takes another job', async () => {
  for (const change of [
    { validation: {} },
    { validation: { redundancy: { share: 0.01 } } },
    { budget: 4 },
    { rows: 2, segmentRows: 2 },
    { input: { inline: '' } },
    { work: { ...DRAFT.work, model: 'smaller' } },
  ]) {
    const code = await submitTo(change).then(
      () => 'taken',
      (error: unknown) => (error instanceof AssayError ? error.code : error),
    )
    expect(code, JSON.stringify(change)).toBe('wire/answer')
  }
})
