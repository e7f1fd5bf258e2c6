/**
 * One question to a chat endpoint: OpenAI's chat completions (POST …/chat/completions, which vLLM, llama.cpp and
 * others serve too), or Ollama's own protocol (POST …/api/chat).
 *
 * Threat: the endpoint belongs to the owner of the machine, but may be wrong, slow or broken: what it answers is
 * bounded in size and time, and read by a schema that takes what it needs and ignores the rest.
 */
import { AssayError, type Json } from 'assay/core/errors'
import type { ChatWork } from 'assay/wire/work'
import * as z from 'zod/mini'

export const CHAT_PROTOCOLS = ['openai', 'ollama'] as const

export interface ChatEndpoint {
  readonly protocol: (typeof CHAT_PROTOCOLS)[number]
  /** What comes before `/chat/completions` or `/api/chat`: `http://127.0.0.1:8000/v1`, `http://127.0.0.1:11434`. */
  readonly url: string
  /** Names of the models that it serves. */
  readonly models: readonly string[]
  /** Bearer token, where the endpoint wants one. */
  readonly token?: string
  /** Questions that it is asked at once. */
  readonly parallel: number
  /** For one answer. */
  readonly timeoutMs: number
}

export interface ChatQuestion {
  readonly work: ChatWork
  readonly prompt: string
  readonly signal: AbortSignal
}

/** A token is a few bytes of text; JSON and what endpoints add around the text take the rest. */
const BYTES_A_TOKEN = 64
const LEAST_ANSWER_BYTES = 65_536
/** What a message shows of an endpoint's own words. */
const MAX_SHOWN = 300

const openAiAnswer = z.object({
  choices: z
    .array(z.object({ message: z.object({ content: z.nullable(z.string()) }) }))
    .check(z.minLength(1)),
})
const ollamaAnswer = z.object({ message: z.object({ content: z.string() }) })

/**
 * The text of the answer.
 *
 * @throws AssayError `work/endpoint` (with `busy` in its detail where asking again may help), `work/answer`,
 * `work/timeout`; an abort of the signal as it is.
 */
export async function askEndpoint(
  endpoint: ChatEndpoint,
  { work, prompt, signal }: ChatQuestion,
): Promise<string> {
  const late = AbortSignal.timeout(endpoint.timeoutMs)
  try {
    const response = await fetch(addressOf(endpoint), {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(endpoint.token === undefined ? {} : { authorization: `Bearer ${endpoint.token}` }),
      },
      body: JSON.stringify(questionBody(endpoint, work, prompt)),
      redirect: 'error',
      signal: AbortSignal.any([signal, late]),
    })
    const text = await readText(response, Math.max(LEAST_ANSWER_BYTES, work.maxTokens * BYTES_A_TOKEN))
    if (!response.ok) throw statusError(response.status, text)
    return answerText(endpoint, text)
  } catch (cause) {
    if (cause instanceof AssayError) throw cause
    signal.throwIfAborted()
    if (late.aborted) {
      const limitMs = endpoint.timeoutMs
      throw new AssayError('work/timeout', `the chat endpoint took longer than ${limitMs} ms`, {
        detail: { limitMs },
      })
    }
    throw new AssayError('work/endpoint', `the chat endpoint cannot be reached: ${reasonOf(cause)}`, {
      detail: { busy: true },
      cause,
    })
  }
}

function addressOf({ protocol, url }: ChatEndpoint): string {
  return url.replace(/\/+$/, '') + (protocol === 'openai' ? '/chat/completions' : '/api/chat')
}

function questionBody({ protocol }: ChatEndpoint, work: ChatWork, prompt: string): Json {
  const { model, system, temperature, seed, maxTokens } = work
  const messages = [
    ...(system === undefined ? [] : [{ role: 'system', content: system }]),
    { role: 'user', content: prompt },
  ]
  if (protocol === 'openai') {
    return { model, messages, temperature, seed, max_tokens: maxTokens, stream: false, n: 1 }
  }
  return { model, messages, stream: false, options: { temperature, seed, num_predict: maxTokens } }
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = []
  let size = 0
  for await (const part of response.body ?? []) {
    size += part.length
    // Leaving the loop closes the connection.
    if (size > maxBytes) {
      throw new AssayError(
        'work/answer',
        `expected an answer of at most ${maxBytes} bytes from the chat endpoint`,
        {
          detail: { maxBytes },
        },
      )
    }
    parts.push(part)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts))
  } catch (cause) {
    throw new AssayError('work/answer', 'expected an answer in UTF-8 from the chat endpoint', { cause })
  }
}

function answerText({ protocol }: ChatEndpoint, text: string): string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw wrongAnswer(text, cause)
  }
  if (protocol === 'openai') {
    const answer = z.safeParse(openAiAnswer, value)
    if (!answer.success) throw wrongAnswer(text)
    return answer.data.choices[0]?.message.content ?? ''
  }
  const answer = z.safeParse(ollamaAnswer, value)
  if (!answer.success) throw wrongAnswer(text)
  return answer.data.message.content
}

function wrongAnswer(text: string, cause?: unknown): AssayError {
  return new AssayError(
    'work/answer',
    `expected a chat completion from the chat endpoint, got ${shown(text)}`,
    { cause },
  )
}

function statusError(status: number, text: string): AssayError {
  return new AssayError('work/endpoint', `the chat endpoint answered ${status}: ${shown(text)}`, {
    detail: { status, busy: status === 429 || status >= 500 },
  })
}

function shown(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text)
}

function reasonOf(cause: unknown): string {
  const { cause: inner, message } = cause as Error
  return inner instanceof Error && inner.message !== '' ? inner.message : String(message)
}
