/** A server for tests of the client: answers as it is told to, and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export type Handler = (asked: Asked, answer: ServerResponse) => void | Promise<void>

export interface TestServer {
  readonly url: string
  readonly asked: readonly Asked[]
  close(): Promise<void>
}

export async function serve(handler: Handler): Promise<TestServer> {
  const asked: Asked[] = []
  const server = createServer(async (request, answer) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const { method = '', url = '', headers } = request
    const one = { method, path: url, headers, body: Buffer.concat(chunks) }
    asked.push(one)
    await handler(one, answer)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export function json(answer: ServerResponse, value: unknown, status = 200): void {
  answer.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

export function problem(
  answer: ServerResponse,
  {
    code,
    status,
    headers = {},
    data = {},
  }: {
    code: string
    status: number
    headers?: { [name: string]: string }
    data?: { [name: string]: number }
  },
): void {
  answer.writeHead(status, { 'content-type': 'application/problem+json', ...headers })
  answer.end(
    JSON.stringify({
      type: `urn:assay:error:${code}`,
      title: '',
      status,
      detail: 'refused',
      code,
      remedy: '',
      data,
    }),
  )
}
