/**
 * Checks recorded rounds of the drand quicknet chain against the built library:
 *
 *     node scripts/conformance/beacon.mjs FOLDER
 *
 * FOLDER holds drand-quicknet.json: chainHash, publicKey, genesisTime, periodSeconds and rounds of round,
 * signature and randomness. Exit code 0 when all hold, 1 when one does not, 2 when there is nothing to check.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { QUICKNET, verifyBeaconRound } from 'assay/core/beacon'

const folder = process.argv[2]
const file = folder === undefined ? undefined : join(folder, 'drand-quicknet.json')
if (file === undefined || !existsSync(file)) {
  console.error(
    `beacon: nothing checked: ${file ?? 'no folder was named, and drand-quicknet.json'} is not there`,
  )
  process.exit(2)
}

const recorded = JSON.parse(readFileSync(file, 'utf8'))
const failures = []
const expect = (what, got, expected) => {
  if (got !== expected) failures.push(`${what}: expected ${expected}, got ${got}`)
}

expect('chain hash', QUICKNET.hash, recorded.chainHash)
expect('public key', QUICKNET.publicKey, recorded.publicKey)
expect('genesis', QUICKNET.genesisSeconds, recorded.genesisTime)
expect('period', QUICKNET.periodSeconds, recorded.periodSeconds)
for (const { round, signature, randomness } of recorded.rounds) {
  const verify = (round) => verifyBeaconRound(QUICKNET, { round, signature: Buffer.from(signature, 'hex') })
  const verdict = verify(round)
  expect(`round ${round}`, verdict.ok ? Buffer.from(verdict.value).toString('hex') : verdict.code, randomness)
  const shifted = verify(round + 1)
  expect(`round ${round} passed off as ${round + 1}`, shifted.ok || shifted.code, 'seed/beacon-signature')
}
if (recorded.rounds.length === 0) failures.push('no rounds recorded')

for (const failure of failures) console.error(`beacon: ${failure}`)
if (failures.length === 0) console.log(`beacon: ${recorded.rounds.length} recorded rounds verified`)
process.exitCode = failures.length === 0 ? 0 : 1
