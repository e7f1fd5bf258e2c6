/**
 * The way to the coordinator: the protocol's client, over whichever of its replicas answers, on its time.
 *
 * Requests go to one replica until it cannot be reached or is not well; the next try goes to the next one. Requests
 * are signed with the time (wire/request-signature.ts); a clock that is off is put right by what the coordinator says
 * of its own, for these signatures alone.
 */
import { AssayError } from 'assay/core/errors'
import type { KeyPair } from 'assay/core/keys'
import { type Client, createClient } from 'assay/wire/client'
import { isTransient } from 'assay/wire/problem'
import { signNative } from '../service/native-signature.ts'

/** A date header has seconds, and travels for a while: below this a clock counts as right. */
const CLOCK_TOLERANCE_MS = 2_000
/** Refusals that another try may not meet: of the signature, once the clock is right; of a node that enrols again. */
const PASSING: readonly string[] = ['wire/signature', 'wire/quota', 'wire/unauthenticated', 'wire/answer']

export interface LinkOptions {
  /** Addresses of the coordinator's replicas. */
  readonly urls: readonly string[]
  readonly key: KeyPair
  readonly fetch?: typeof fetch
}

export interface Link {
  readonly client: Client
  /** How far this machine's clock is behind the coordinator's, as well as it is known. */
  readonly clockOffsetMs: () => number
}

export function openLink({ urls, key, fetch: send = fetch }: LinkOptions): Link {
  const replicas = urls.map((url) => url.replace(/\/+$/, ''))
  const [base = ''] = replicas
  let current = 0
  let offsetMs = 0

  const learnTime = (response: Response, sentAtMs: number) => {
    const theirs = Date.parse(response.headers.get('date') ?? '')
    const ours = (sentAtMs + Date.now()) / 2
    if (Number.isNaN(theirs)) return
    offsetMs = Math.abs(theirs - ours) > CLOCK_TOLERANCE_MS ? Math.round(theirs - ours) : 0
  }
  const fetchFromReplica: typeof fetch = async (address, init) => {
    const at = current
    const next = () => {
      // Another request may have moved on already.
      if (current === at) current = (at + 1) % replicas.length
    }
    const sentAtMs = Date.now()
    try {
      const response = await send(`${replicas[at]}${String(address).slice(base.length)}`, init)
      if (response.status >= 500) next()
      learnTime(response, sentAtMs)
      return response
    } catch (error) {
      if (init?.signal?.aborted !== true) next()
      throw error
    }
  }
  const client = createClient({
    url: base,
    nodeKey: key,
    signer: signNative,
    fetch: fetchFromReplica,
    now: () => Date.now() + offsetMs,
  })
  return { client, clockOffsetMs: () => offsetMs }
}

/** Whether the same request may succeed later: it did not get there, or was refused for something that passes. */
export function mayPass(error: unknown): boolean {
  if (!(error instanceof AssayError)) return false
  return error.code === 'wire/unavailable' || isTransient(error.detail.status) || PASSING.includes(error.code)
}
