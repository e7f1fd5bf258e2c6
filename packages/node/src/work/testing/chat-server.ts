/**
 * A chat endpoint for tests: real HTTP on a port of its own, both protocols, answers that follow from the question.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ChatServer {
  /** Without the protocol's own path. */
  readonly url: string
  /** Bodies of the questions, in the order in which they came. */
  readonly questions: { readonly [name: string]: unknown }[]
  /** Most questions that were under way at once. */
  readonly mostAtOnce: () => number
  close(): Promise<void>
}

/** Stands in for the answer where it gives something: a status and a text. */
export type ChatFault = (
  turn: number,
) => { readonly status: number; readonly text: string } | 'silence' | undefined

/** What a model with this name answers: the words of the prompt in the order of their letters. */
export function chatAnswer(model: string, prompt: string, seed: unknown): string {
  return `${model}/${String(seed)}: ${prompt.split(' ').sort().join(' ')}`
}

export async function startChatServer(fault: ChatFault = () => undefined): Promise<ChatServer> {
  const questions: { readonly [name: string]: unknown }[] = []
  let [underWay, most, turn] = [0, 0, 0]
  const server = createServer((request, response) => {
    underWay++
    most = Math.max(most, underWay)
    response.on('close', () => underWay--)
    void answer(request, response, questions, fault(turn++))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    questions,
    mostAtOnce: () => most,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  questions: { readonly [name: string]: unknown }[],
  fault: ReturnType<ChatFault>,
): Promise<void> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const question = JSON.parse(Buffer.concat(parts).toString()) as {
    readonly model: string
    readonly seed?: number
    readonly options?: { readonly seed: number }
    readonly messages: readonly { readonly role: string; readonly content: string }[]
  }
  questions.push({ ...question, token: request.headers.authorization, path: request.url })
  if (fault === 'silence') return
  if (fault !== undefined) return void response.writeHead(fault.status).end(fault.text)
  const prompt = question.messages.find(({ role }) => role === 'user')?.content ?? ''
  const content = chatAnswer(question.model, prompt, question.seed ?? question.options?.seed)
  const message = { role: 'assistant', content }
  const body =
    request.url === '/v1/chat/completions'
      ? { id: 'x', object: 'chat.completion', choices: [{ index: 0, message, finish_reason: 'stop' }] }
      : request.url === '/api/chat'
        ? { model: question.model, message, done: true }
        : undefined
  response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body ?? { error: 'no such path' }))
}
