import { utf8 } from 'assay/core/bytes'
import { encodeRows } from 'assay/task/rows'
import type { ChatWork } from 'assay/wire/work'
import { afterEach, describe, expect, it } from 'vitest'
import type { ChatEndpoint } from './chat-endpoint.ts'
import { chatClient, openChatRows } from './chat-rows.ts'
import { type ChatFault, type ChatServer, chatAnswer, startChatServer } from './testing/chat-server.ts'

const WORK: ChatWork = {
  kind: 'chat',
  model: 'tiny',
  system: 'be brief',
  temperature: 0,
  seed: 7,
  maxTokens: 32,
  compare: 'text',
}
const PROMPTS = ['sort these words', 'née Zoë', '', 'and these']
const INPUT = encodeRows(PROMPTS.map((prompt) => utf8(prompt)))

const servers: ChatServer[] = []
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
})

async function open(
  given: { fault?: ChatFault; work?: Partial<ChatWork>; endpoint?: Partial<ChatEndpoint> } = {},
) {
  const server = await startChatServer(given.fault)
  servers.push(server)
  const protocol = given.endpoint?.protocol ?? 'openai'
  const client = chatClient({
    protocol,
    url: protocol === 'openai' ? `${server.url}/v1/` : server.url,
    models: ['tiny'],
    parallel: 2,
    timeoutMs: 20_000,
    ...given.endpoint,
  })
  const rows = openChatRows({ ...WORK, ...given.work }, INPUT, { client, pausesMs: [1, 1] })
  return { rows, server }
}

describe('chat rows', () => {
  it.each(['openai', 'ollama'] as const)(
    'are the answers of the endpoint, in order: %s',
    async (protocol) => {
      const { rows, server } = await open({ endpoint: { protocol, token: 'open sesame' } })
      expect(rows.count).toBe(4)
      const expected = PROMPTS.map((prompt) => utf8(chatAnswer('tiny', prompt, 7)))
      expect(await rows.rows({ from: 0, to: 4 })).toEqual(expected)
      expect(await rows.rows({ from: 1, to: 3 })).toEqual(expected.slice(1, 3))
      expect(await rows.row(3)).toEqual(expected[3])
      expect(server.mostAtOnce()).toBeLessThanOrEqual(2)
      expect(server.questions[0]).toMatchObject({
        model: 'tiny',
        stream: false,
        messages: [{ role: 'system', content: 'be brief' }, { role: 'user' }],
        token: 'Bearer open sesame',
        ...(protocol === 'openai'
          ? { temperature: 0, seed: 7, max_tokens: 32 }
          : { options: { temperature: 0, seed: 7, num_predict: 32 } }),
      })
    },
  )

  it('wait for an endpoint that is busy', async () => {
    const { rows } = await open({
      fault: (turn) => (turn < 2 ? { status: turn === 0 ? 503 : 429, text: 'busy' } : undefined),
    })
    expect(await rows.row(0)).toEqual(utf8(chatAnswer('tiny', PROMPTS[0]!, 7)))
  })

  it.each<[string, ReturnType<ChatFault>, string]>([
    ['an error', { status: 404, text: 'model "tiny" not found' }, 'work/endpoint'],
    ['an error that stays', { status: 500, text: 'out of memory' }, 'work/endpoint'],
    ['no JSON', { status: 200, text: '<html>' }, 'work/answer'],
    ['no completion', { status: 200, text: '{"choices":[]}' }, 'work/answer'],
    ['too much', { status: 200, text: 'x'.repeat(70_000) }, 'work/answer'],
    ['no end', 'silence', 'work/timeout'],
  ])('are refused where the endpoint answers with %s', async (_, fault, code) => {
    const { rows } = await open({
      fault: () => fault,
      endpoint: { timeoutMs: fault === 'silence' ? 50 : 20_000 },
    })
    await expect(rows.rows({ from: 0, to: 4 })).rejects.toMatchObject({ code })
  })

  it('are refused where there is no endpoint, no such model, no such row', async () => {
    const { rows, server } = await open()
    await expect(rows.row(4)).rejects.toMatchObject({ code: 'work/rows' })
    await expect(open({ work: { model: 'other' } })).rejects.toMatchObject({ code: 'work/unsupported' })
    await server.close()
    await expect(rows.row(0)).rejects.toMatchObject({ code: 'work/endpoint' })
  })

  it('are refused for a prompt that is no text', async () => {
    const client = chatClient({
      protocol: 'openai',
      url: 'http://127.0.0.1:1',
      models: ['tiny'],
      parallel: 1,
      timeoutMs: 1e3,
    })
    const rows = openChatRows(WORK, encodeRows([Uint8Array.of(255)]), { client, pausesMs: [] })
    await expect(rows.row(0)).rejects.toMatchObject({ code: 'state/type' })
  })

  it('stop at once when they are told to, and leave the endpoint free', async () => {
    let isSilent = true
    const { rows, server } = await open({ fault: () => (isSilent ? 'silence' : undefined) })
    const stop = new AbortController()
    const lost = rows.rows({ from: 0, to: 4 }, { signal: stop.signal })
    await expect.poll(() => server.questions.length).toBe(2)
    stop.abort()
    await expect(lost).rejects.toMatchObject({ code: 'task/cancelled' })
    isSilent = false
    expect(await rows.rows({ from: 0, to: 4 })).toHaveLength(4)
    expect(server.mostAtOnce()).toBe(2)
    const closing = expect(rows.row(0)).rejects.toMatchObject({ code: 'work/closed' })
    await rows.close()
    await closing
  })
})
