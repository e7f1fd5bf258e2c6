/**
 * Fetching beacon rounds over HTTP (drand's v1 API: GET {relay}/{chain hash}/public/{round}).
 *
 * Threat: relays are untrusted and may be slow. Each has a time limit, an answer a size limit, redirects are
 * refused, and nothing is returned that beacon.ts has not verified.
 */
import * as z from 'zod/mini'
import { type BeaconChain, type BeaconRound, verifyBeaconRound } from './beacon.ts'
import { concatBytes, fromHex, toHex } from './bytes.ts'
import { parseWith } from './codec.ts'
import { AssayError } from './errors.ts'

/** HTTP relays of the League of Entropy. */
export const DRAND_RELAYS: readonly string[] = [
  'https://api.drand.sh',
  'https://api2.drand.sh',
  'https://api3.drand.sh',
  'https://drand.cloudflare.com',
]

/** An answer has some 300 bytes; room for fields to come. */
export const MAX_ANSWER_BYTES = 4096
export const DEFAULT_TIMEOUT_MS = 5_000

/** What is used of an answer. Relays may add fields: the signature alone decides. */
const answerSchema = z.object({
  round: z.int().check(z.minimum(1)),
  signature: z.string().check(z.regex(/^[0-9a-f]{96}$/, '96 lower-case hexadecimal digits')),
  randomness: z.optional(z.string().check(z.maxLength(64))),
})

export interface FetchBeaconOptions {
  /** Base addresses, tried in this order. */
  readonly relays: readonly string[]
  /** `globalThis.fetch`, or another that behaves like it. */
  readonly fetch: typeof globalThis.fetch
  /** For each relay; 5 seconds unless told. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * A verified round, from the first relay that has it, with its 32 random bytes.
 *
 * Throws 'seed/beacon-unavailable', with what went wrong at each relay, when none does, and the signal's reason
 * when aborted. 'latest' is what a relay says it is; see the note in beacon.ts.
 */
export async function fetchBeaconRound(
  chain: BeaconChain,
  round: number | 'latest',
  { relays, fetch, timeoutMs = DEFAULT_TIMEOUT_MS, signal }: FetchBeaconOptions,
): Promise<BeaconRound & { readonly randomness: Uint8Array }> {
  if (round !== 'latest' && (!Number.isSafeInteger(round) || round < 1)) {
    throw new AssayError('seed/malformed', `a round is an integer from 1, or 'latest'; got ${round}`)
  }
  const failures: { [relay: string]: string } = {}
  for (const relay of relays) {
    signal?.throwIfAborted()
    const timeout = AbortSignal.timeout(timeoutMs)
    const limits = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
    try {
      const url = `${relay.replace(/\/+$/, '')}/${chain.hash}/public/${round}`
      return readAnswer(await download(url, { fetch, signal: limits }), { chain, round })
    } catch (error) {
      signal?.throwIfAborted()
      failures[relay] = timeout.aborted ? `no answer within ${timeoutMs} ms` : describe(error)
    }
  }
  throw new AssayError(
    'seed/beacon-unavailable',
    `no relay gave round ${round} of the beacon: ${
      relays.map((relay) => `${relay}: ${failures[relay]}`).join('; ') || 'none was named'
    }`,
    { detail: { round, relays: failures } },
  )
}

async function download(
  url: string,
  { fetch, signal }: { readonly fetch: typeof globalThis.fetch; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const response = await fetch(url, { signal, redirect: 'error', headers: { accept: 'application/json' } })
  const { body } = response
  if (!response.ok || body === null) {
    await body?.cancel()
    throw refused(`HTTP status ${response.status}`)
  }
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  for (let length = 0; ; ) {
    const { done, value } = await reader.read()
    if (done) return concatBytes(...chunks)
    length += value.length
    if (length > MAX_ANSWER_BYTES) {
      await reader.cancel()
      throw refused(`more than ${MAX_ANSWER_BYTES} bytes`)
    }
    chunks.push(value)
  }
}

function readAnswer(
  bytes: Uint8Array,
  { chain, round }: { readonly chain: BeaconChain; readonly round: number | 'latest' },
): BeaconRound & { readonly randomness: Uint8Array } {
  const answer = parseWith(answerSchema, parseJson(bytes), 'beacon answer')
  if (round !== 'latest' && answer.round !== round) throw refused(`round ${answer.round} instead of ${round}`)
  const signature = fromHex(answer.signature)
  const verdict = verifyBeaconRound(chain, { round: answer.round, signature })
  if (!verdict.ok) throw refused(verdict.message)
  if (answer.randomness !== undefined && answer.randomness !== toHex(verdict.value)) {
    throw refused('its randomness is not the SHA-256 of its signature')
  }
  return { round: answer.round, signature, randomness: verdict.value }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw refused('an answer that is not JSON')
  }
}

function refused(message: string): AssayError {
  return new AssayError('seed/beacon-unavailable', message)
}

/** One line for people; the cause of a failed fetch says more than "fetch failed". */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message
}
