/**
 * Rows of a chat job: each row one prompt, answered by the endpoint beside the node; the row is the answer in UTF-8.
 *
 * Prompts are strangers', and go to the endpoint as they are: it must not be one that acts on what it is told.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { utf8 } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import { decodeRows } from 'assay/task/rows'
import type { Row } from 'assay/wire/segment'
import type { ChatWork } from 'assay/wire/work'
import { askEndpoint, type ChatEndpoint } from './chat-endpoint.ts'
import { assertRange, type RowRunner, rowBudget } from './row-runner.ts'

/** Longest prompt: about 250,000 tokens. */
const MAX_PROMPT_BYTES = 2 ** 20
/** An endpoint that is busy or starts anew is asked again after these pauses. */
const PAUSES_MS = [500, 2_000, 5_000, 10_000] as const

/** An endpoint that is asked so many questions at once, whichever jobs they are of. */
export interface ChatClient {
  readonly endpoint: ChatEndpoint
  ask(question: Parameters<typeof askEndpoint>[1]): Promise<string>
}

export function chatClient(endpoint: ChatEndpoint): ChatClient {
  const waiting: (() => void)[] = []
  let underWay = 0
  return {
    endpoint,
    async ask(question) {
      if (underWay >= endpoint.parallel) await new Promise<void>((resolve) => waiting.push(resolve))
      else underWay++
      try {
        return await askEndpoint(endpoint, question)
      } finally {
        // A place is handed over, so that nobody takes it in between.
        const next = waiting.shift()
        if (next === undefined) underWay--
        else next()
      }
    },
  }
}

/** @throws AssayError `work/unsupported` for a model that the endpoint does not serve, `task/output` for the input. */
export function openChatRows(
  work: ChatWork,
  input: Uint8Array,
  { client, pausesMs = PAUSES_MS }: { readonly client: ChatClient; readonly pausesMs?: readonly number[] },
): RowRunner {
  const { models } = client.endpoint
  if (!models.includes(work.model)) {
    throw new AssayError(
      'work/unsupported',
      `the chat endpoint of this machine serves ${models.join(', ') || 'no model'}, not ${JSON.stringify(work.model)}`,
    )
  }
  const prompts = decodeRows(input)
  const closing = new AbortController()
  const rows: RowRunner['rows'] = async (range, { signal } = {}) => {
    assertRange(range, prompts.length)
    const stop = new AbortController()
    const signals = [closing.signal, stop.signal, ...(signal === undefined ? [] : [signal])]
    const either = AbortSignal.any(signals)
    const add = rowBudget()
    const answer = async (prompt: Uint8Array): Promise<Row> => {
      const question = { work, prompt: textOf(prompt), signal: either }
      const row = utf8(await askPatiently(client, { ...question, pausesMs }))
      add(row)
      return row
    }
    try {
      return await Promise.all(prompts.slice(range.from, range.to).map(answer))
    } catch (error) {
      stop.abort()
      if (signal?.aborted) throw cancelled(signal.reason)
      if (closing.signal.aborted) throw new AssayError('work/closed', 'the rows of this job were closed')
      throw error
    }
  }
  return {
    count: prompts.length,
    rows,
    row: async (index, options) => (await rows({ from: index, to: index + 1 }, options))[0]!,
    close: async () => closing.abort(),
  }
}

async function askPatiently(
  client: ChatClient,
  { pausesMs, ...question }: Parameters<ChatClient['ask']>[0] & { readonly pausesMs: readonly number[] },
): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    question.signal.throwIfAborted()
    try {
      return await client.ask(question)
    } catch (error) {
      const pauseMs = pausesMs[attempt]
      const isBusy = error instanceof AssayError && error.detail.busy === true
      if (!isBusy || pauseMs === undefined) throw error
      await pause(pauseMs, undefined, { signal: question.signal })
    }
  }
}

function textOf(prompt: Uint8Array): string {
  if (prompt.length > MAX_PROMPT_BYTES) {
    throw new AssayError(
      'state/type',
      `expected a prompt of at most ${MAX_PROMPT_BYTES} bytes, got ${prompt.length}`,
    )
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(prompt)
  } catch (cause) {
    throw new AssayError('state/type', 'expected a prompt in UTF-8', { cause })
  }
}

function cancelled(cause: unknown): AssayError {
  return new AssayError('task/cancelled', 'the run was cancelled by its caller', { cause })
}
