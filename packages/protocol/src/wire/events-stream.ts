/**
 * Server-sent events (WHATWG HTML, section 9.2.6): reading them, and going on behind the last one after a break.
 *
 * Threat: the stream comes from anybody. A line and an event have a size cap, and a stream without a sign of life is
 * given up (the transport's time limit; a coordinator sends a comment every 15 s).
 */
import { AssayError } from '../core/errors.ts'
import { type EventView, eventView } from './account.ts'
import { parseAnswer } from './answer.ts'
import { type Answer, pauseAfter, type Transport } from './transport.ts'

/** An event of ours has some hundred bytes, evidence some thousand. */
export const MAX_EVENT_BYTES = 2 ** 20
/** Three comments of a coordinator. */
export const EVENTS_TIMEOUT_MS = 45_000
/** Openings in a row that fail before that is told; with their pauses more than a minute. */
const MAX_FAILURES = 16
/** Says that nothing more will come; without an id, since it is none of the events. */
export const END_EVENT = 'end'

export interface ServerSentEvent {
  readonly id: string
  readonly event: string
  readonly data: string
}

/** The events of a body; comments are passed over. Throws `wire/too-large`. */
export async function* parseEventStream(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const decoder = new TextDecoder('utf-8')
  let rest = ''
  let id = ''
  let event = ''
  let data: string[] = []
  let size = 0
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true })
    for (;;) {
      const line = nextLine(rest)
      if (line === undefined) break
      rest = line.rest
      if (line.text === '') {
        if (data.length > 0) yield { id, event: event === '' ? 'message' : event, data: data.join('\n') }
        event = ''
        data = []
        size = 0
        continue
      }
      size += line.text.length
      const { name, value } = fieldOf(line.text)
      if (name === 'data') data.push(value)
      else if (name === 'event') event = value
      else if (name === 'id' && !value.includes('\0')) id = value
      if (size > MAX_EVENT_BYTES) throw tooLarge()
    }
    if (rest.length > MAX_EVENT_BYTES) throw tooLarge()
  }
}

/** A line ends with CR LF, LF or CR; a CR at the end may be half of one. */
function nextLine(text: string): { readonly text: string; readonly rest: string } | undefined {
  const at = text.search(/[\r\n]/)
  if (at < 0 || (text[at] === '\r' && at === text.length - 1)) return undefined
  const length = text.startsWith('\r\n', at) ? 2 : 1
  return { text: text.slice(0, at), rest: text.slice(at + length) }
}

function fieldOf(line: string): { readonly name: string; readonly value: string } {
  const colon = line.indexOf(':')
  if (colon < 0) return { name: line, value: '' }
  const value = line.slice(colon + 1)
  return { name: line.slice(0, colon), value: value.startsWith(' ') ? value.slice(1) : value }
}

function tooLarge(): AssayError {
  return new AssayError('wire/too-large', `expected events of at most ${MAX_EVENT_BYTES} bytes`)
}

export interface FollowOptions {
  /** Opens the stream behind an event. */
  readonly open: (lastEventId: string | undefined) => Promise<Answer>
  readonly transport: Pick<Transport, 'random' | 'sleep'>
  readonly lastEventId?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Events, each once and in order, across as many connections as it takes. Ends when the service says that nothing
 * more will come; throws when the first opening fails, what cannot be waited out, and the signal's reason.
 */
export async function* followEvents(options: FollowOptions): AsyncGenerator<EventView, void, undefined> {
  const { open, transport, signal } = options
  let { lastEventId } = options
  let failures = 0
  // Streams since the last event: a service that opens and ends them is asked less and less often.
  let silent = 0
  let answer: Answer | undefined = await open(lastEventId)
  for (;;) {
    try {
      answer ??= await open(lastEventId)
      failures = 0
      for await (const { id, event, data } of parseEventStream(answer.body)) {
        signal?.throwIfAborted()
        if (event === END_EVENT) return
        const view = parseEvent(data)
        if (id !== '') lastEventId = id
        silent = 0
        yield view
      }
    } catch (error) {
      signal?.throwIfAborted()
      const isHopeless = pauseAfter(error, { attempt: 1, ...transport }) === undefined
      if (isHopeless || ++failures > MAX_FAILURES) throw error
    }
    answer = undefined
    silent = Math.min(silent + 1, MAX_FAILURES)
    // A service that stops ends its streams; so does a proxy, now and then.
    const ended = new AssayError('wire/unavailable', 'the stream ended')
    await transport.sleep(pauseAfter(ended, { attempt: silent, ...transport }) ?? 0, signal)
  }
}

function parseEvent(data: string): EventView {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch (cause) {
    throw new AssayError('wire/answer', 'expected an event in JSON', { cause })
  }
  return parseAnswer(eventView, value, 'event')
}
