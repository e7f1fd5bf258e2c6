/** Registration with the coordinator: at the start, and whenever it does not know the node any more. */
import { AssayError } from 'assay/core/errors'
import type { Manifest } from 'assay/wire/manifest'
import type { Log } from '../service/log.ts'
import { backoff } from './backoff.ts'
import { type Link, mayPass } from './link.ts'

/** Tries of a registration whose signature is refused: the clock is put right by the first. */
const SIGNATURE_TRIES = 3

export interface EnrolParts {
  readonly manifest: Manifest
  readonly enrolment: string
  readonly log: Log
}

/**
 * Registers; one at a time, whoever asks. Tries until the coordinator is there, or the signal aborts.
 *
 * @throws AssayError what the coordinator refuses it with; the signal's reason.
 */
export type Enrol = (signal: AbortSignal) => Promise<void>

export function enroller(link: Link, { manifest, enrolment, log }: EnrolParts): Enrol {
  let underWay: Promise<void> | undefined
  const register = async (signal: AbortSignal) => {
    const pauses = backoff()
    // Apart from tries that found nobody, of which there may be any number before.
    let refusals = 0
    for (;;) {
      signal.throwIfAborted()
      try {
        const view = await link.client.registerNode(
          { body: { manifest, enrolment } },
          { signal, maxAttempts: 1 },
        )
        log.info('registered', { standing: view.standing, state: view.state })
        return
      } catch (error) {
        signal.throwIfAborted()
        if (isRefusedSignature(error)) refusals++
        if (isFinal(error, refusals)) throw error
        log.warn('the coordinator did not register the node yet', { error })
        await pauses.wait(signal)
      }
    }
  }
  return (signal) => {
    underWay ??= register(signal).finally(() => {
      underWay = undefined
    })
    return underWay
  }
}

function isFinal(error: unknown, refusals: number): boolean {
  if (isRefusedSignature(error)) return refusals >= SIGNATURE_TRIES
  return (error instanceof AssayError && error.code === 'wire/unauthenticated') || !mayPass(error)
}

function isRefusedSignature(error: unknown): boolean {
  return error instanceof AssayError && error.code === 'wire/signature'
}
