/**
 * A hop between a client and a coordinator that understands requests: it can send one twice, byte for byte, lose its
 * answer, and hold requests or answers back until others have overtaken them. What it is told of is the head of a
 * request; bodies pass as they are.
 */
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Head {
  readonly method: string
  readonly path: string
}

export type Treatment =
  /** Sends it once more, at the same time or after its answer. */
  | { readonly kind: 'repeat'; readonly together: boolean; readonly onAnswers: (answers: Answers) => void }
  /** It is done, and nobody hears of it. */
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'hold-request' | 'hold-answer'; readonly until: Promise<void> }

export interface Answer {
  readonly status: number
  readonly text: string
}
export interface Answers extends Head {
  readonly isSigned: boolean
  readonly first: Answer | null
  readonly second: Answer | null
}

export interface Relay {
  readonly port: number
  /** Where it sends requests to; null while nobody is there. */
  target: string | null
  /** What to do with a request; undefined lets it pass. Asked for each. */
  treat: ((head: Head) => Treatment | undefined) | null
  /** Refusals of signatures that passed by, by the clock of who signed. */
  clockRefusals(): number
  close(): Promise<void>
}

/** Kept of an answer, to look into. */
const MAX_KEPT = 65_536

export async function openRelay(): Promise<Relay> {
  // Pooled: otherwise each request would cost a connection.
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  let clockRefusals = 0
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 30_000 }, (incoming, response) => {
    response.on('error', () => undefined)
    pass(incoming, response).catch(() => response.destroy())
  })
  // Tests end while connections wait.
  server.unref()

  const pass = async (incoming: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const { method = 'GET', url: path = '/' } = incoming
    const treatment = relay.treat?.({ method, path })
    if (treatment?.kind === 'hold-request') await treatment.until
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    const twin =
      treatment?.kind === 'repeat' && treatment.together ? kept(forward(incoming, body)) : undefined
    const first = await forward(incoming, body, gone.signal)
    if (treatment?.kind === 'lose-answer') {
      await kept(Promise.resolve(first))
      return void response.destroy()
    }
    if (treatment?.kind === 'hold-answer') await treatment.until
    response.writeHead(first.statusCode ?? 502, first.rawHeaders)
    const text = await copied(first, response)
    if (first.statusCode === 401 && text.includes('was signed at')) clockRefusals++
    if (treatment?.kind !== 'repeat') return
    const second = await (twin ?? kept(forward(incoming, body)))
    const isSigned = incoming.headers['assay-signature'] !== undefined
    treatment.onAnswers({
      method,
      path,
      isSigned,
      first: { status: first.statusCode ?? 0, text },
      second,
    })
  }

  const forward = async (
    { method, url, rawHeaders }: IncomingMessage,
    body: Buffer,
    signal = new AbortController().signal,
  ) => {
    if (relay.target === null) throw new Error('nobody is there')
    const { hostname, port } = new URL(relay.target)
    const outgoing = request({ agent, hostname, port, method, path: url, headers: rawHeaders, signal })
    outgoing.end(body)
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
    // One that broke off is noticed by whoever reads it.
    answer.on('error', () => undefined)
    return answer
  }

  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const relay: Relay = {
    port: (server.address() as AddressInfo).port,
    target: null,
    treat: null,
    clockRefusals: () => clockRefusals,
    async close() {
      server.closeAllConnections()
      agent.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return relay
}

/** Hands an answer on as it comes, and returns its beginning. Breaks off where it breaks off. */
async function copied(from: IncomingMessage, to: ServerResponse): Promise<string> {
  let text = ''
  for await (const chunk of from) {
    if (text.length < MAX_KEPT) text += chunk
    if (!to.write(chunk)) await Promise.race([once(to, 'drain'), once(to, 'close')])
  }
  to.end()
  return text
}

/** All of an answer; null where there is none. */
async function kept(answer: Promise<IncomingMessage>): Promise<Answer | null> {
  try {
    const message = await answer
    let text = ''
    for await (const chunk of message) if (text.length < MAX_KEPT) text += chunk
    return { status: message.statusCode ?? 0, text }
  } catch {
    return null
  }
}
