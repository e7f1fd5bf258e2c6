/**
 * Bodies of requests: read whole, within a cap, in time, and with a bound on all of them together.
 *
 * A service reads a body only once it knows who sends it. What is reserved is given back when the request ends.
 */
import { AssayError } from 'assay/core/errors'
import type { ApiContext } from './api-context.ts'

/** What every body may take, and what each of its bytes adds: 64 KiB a second. */
const BODY_GRACE_MS = 10_000
const SLOWEST_BYTES_PER_MS = 64

export interface BodyLedger {
  read(c: ApiContext, maxBytes: number): Promise<Uint8Array>
  readJson(c: ApiContext, maxBytes: number): Promise<unknown>
  release(bytes: number): void
}

export function bodyLedger(maxBytesInFlight: number, graceMs = BODY_GRACE_MS): BodyLedger {
  let inFlight = 0
  const read = async (c: ApiContext, maxBytes: number): Promise<Uint8Array> => {
    const length = Number(c.req.header('content-length') ?? 0)
    if (length > maxBytes) {
      throw new AssayError('wire/too-large', `expected a body of at most ${maxBytes} bytes, got ${length}`, {
        detail: { maxBytes, bytes: length },
      })
    }
    if (inFlight + length > maxBytesInFlight) {
      throw new AssayError('wire/unavailable', 'too many large requests are being worked on')
    }
    inFlight += length
    c.set('reservedBytes', (c.get('reservedBytes') ?? 0) + length)
    return new Uint8Array(await inTime(c.req.arrayBuffer(), graceMs + length / SLOWEST_BYTES_PER_MS))
  }
  const readJson = async (c: ApiContext, maxBytes: number): Promise<unknown> => {
    const type = c.req.header('content-type')
    if (type === undefined || !/^application\/json\s*(;|$)/i.test(type)) {
      const got = type === undefined ? 'none' : type.slice(0, 80)
      throw new AssayError('http/media-type', `expected Content-Type application/json, got ${got}`)
    }
    const bytes = await read(c, maxBytes)
    try {
      return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
    } catch (cause) {
      throw new AssayError('wire/malformed', `expected JSON in UTF-8, got ${bytes.length} bytes of else`, {
        cause,
      })
    }
  }
  return {
    read,
    readJson,
    release: (bytes) => {
      inFlight -= bytes
    },
  }
}

async function inTime<T>(work: Promise<T>, limitMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new AssayError('http/slow', `expected the body within ${Math.ceil(limitMs / 1000)} s`))
    }, limitMs)
  })
  try {
    return await Promise.race([work, late])
  } catch (cause) {
    if (cause instanceof AssayError) throw cause
    throw new AssayError('wire/malformed', 'the body broke off before its end', { cause })
  } finally {
    clearTimeout(timer)
    // Whoever was late, or went away, fails here a second time.
    work.catch(() => undefined)
  }
}
