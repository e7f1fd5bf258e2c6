/** What a verifier held when it died is checked as soon as it is back, and its old word for it counts no more. */
import { toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { encodeRows } from 'assay/task/rows'
import { submitJob } from 'assay/wire/submit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { verdictOf } from '../life/answers.ts'
import { type Door, openDoor } from './door.ts'

const START_MS = 60_000
const MODULE = utf8('a module')
let door: Door
beforeAll(async () => {
  door = await openDoor()
}, START_MS)
afterAll(() => door?.stop(), START_MS)

test('checks of a verifier that starts again are leased again at once', async () => {
  const { client: submitter } = await door.account()
  const solver = await door.node()
  const verifier = await door.node({ role: 'verifier' })
  const input = encodeRows([utf8('one'), utf8('two')])
  const work = {
    kind: 'wasm',
    module: contentAddress(MODULE, 'raw'),
    memoryPages: 1,
    timeLimitMs: 1_000,
    maxOutputBytes: 20_000,
  } as const
  const validation = { sampling: { share: 1, confidence: 0.5, fakedShare: 1 } }
  const spec = { work, rows: 2, segmentRows: 1, pricePerSegment: 10, budget: 90, validation }
  await submitJob(submitter, { ...spec, input: { inline: toBase64(input) } }, { content: [MODULE] })
  await solver.work()
  const lease = async () => (await verifier.client.leaseVerifications({ body: { max: 8 } })).verifications
  const before = await lease()
  expect(before).toHaveLength(2)
  expect(await lease()).toEqual([])

  const { manifest, enrolment } = verifier
  await verifier.client.registerNode({ body: { manifest, enrolment } })
  const after = await lease()
  expect(after.map(({ id }) => id)).toEqual(before.map(({ id }) => id))
  const verdicts = (leases: typeof before) =>
    Promise.all(leases.map((each) => verdictOf(verifier, each, { blobs: new Map(), at: new Date() })))
  const old = await verifier.client.verdicts({ body: { verdicts: await verdicts(before), retry: [] } })
  expect(old.stale).toHaveLength(2)
  expect(await verifier.client.verdicts({ body: { verdicts: await verdicts(after), retry: [] } })).toEqual({
    stale: [],
  })
})
