/**
 * The seed of a check: the verifier's own, or the next round of a public beacon.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { beaconSource, firstRoundAfter, QUICKNET, timeOfRound } from 'assay/core/beacon'
import { DRAND_RELAYS, fetchBeaconRound } from 'assay/core/beacon-fetch'
import { toHex } from 'assay/core/bytes'
import { AssayError } from 'assay/core/errors'
import type { SeedSource } from 'assay/core/seed'
import type { Session } from './command.ts'
import { randomBytes32 } from './randomness.ts'

/** Relays publish a round about a second after it is due. */
const RELAY_DELAY_MS = 1_000

export async function drawSeed(
  { seed, beacon }: { readonly seed?: Uint8Array; readonly beacon?: boolean },
  { receivedAtSeconds, session }: { readonly receivedAtSeconds: number; readonly session: Session },
): Promise<SeedSource> {
  if (!beacon) return { kind: 'local', seed: toHex(seed ?? randomBytes32()) }
  const { signal } = session
  // A second later than needed: the time of receipt was rounded down.
  const round = firstRoundAfter(QUICKNET, receivedAtSeconds + 1)
  const waitMs = Math.max(0, timeOfRound(QUICKNET, round) * 1000 - Date.now()) + RELAY_DELAY_MS
  session.note(`Waiting ${Math.ceil(waitMs / 1000)} s for round ${round} of the beacon.`)
  try {
    await sleep(waitMs, undefined, { signal })
    return beaconSource(
      QUICKNET,
      await fetchBeaconRound(QUICKNET, round, { relays: DRAND_RELAYS, fetch, signal }),
    )
  } catch (cause) {
    if (signal.aborted)
      throw new AssayError('task/cancelled', 'interrupted while waiting for the beacon', { cause })
    throw cause
  }
}
