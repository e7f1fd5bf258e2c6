import { AssayError } from 'assay/core/errors'
import { SCOPES } from 'assay/wire/account'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestNetwork, type TestNetwork } from '../../test/support/network.ts'
import { bootstrap, keysPage, makeKey, mayUse, type NewKey, openKeyring, revokeKey } from './accounts.ts'

let network: TestNetwork
beforeAll(async () => {
  network = await openTestNetwork()
}, 60_000)
afterAll(() => network?.close())

const NOW = Date.parse('2030-01-01T00:00:00Z')
const make = (wanted: Partial<NewKey> = {}) =>
  network.tx((tx) => makeKey(tx, { account: 'ann', scopes: ['jobs:read'], ...wanted }))

test('replicas that start at once make one administrator between them', async () => {
  const made = await Promise.all([network.db, network.open(), network.open()].map((db) => bootstrap(db)))
  const keys = made.filter((key) => key !== null)
  expect(keys).toHaveLength(1)
  expect(keys[0]?.key.scopes).toEqual([...SCOPES])
  expect(await bootstrap(network.db)).toBeNull()
  const who = await openKeyring(network.db).authenticate(keys[0]?.token ?? '', { now: NOW })
  expect(who.ok && who.value.account).toBe('admin')
})

describe('keys', () => {
  test('a token acts for its account with its scopes and its quota', async () => {
    const quota = { jobsPerMinute: 7, queuedSegments: 8, blobBytes: 9 }
    const { key, token } = await make({ account: 'ben', scopes: ['jobs:write', 'jobs:write'], quota })
    expect(token).toMatch(/^assay_[0-9a-f]{16}_[0-9a-f]{64}$/)
    expect(key.scopes).toEqual(['jobs:write'])
    const who = await openKeyring(network.db).authenticate(token, { now: NOW })
    expect(who).toEqual({
      ok: true,
      value: { keyId: key.id, account: 'ben', scopes: ['jobs:write'], quota },
    })
  })

  test('the database holds no secret', async () => {
    const { token } = await make()
    const { rows } = await network.db.query<{ row: string }>('SELECT api_key::text AS row FROM api_key')
    const secret = token.split('_')[2] ?? ''
    expect(rows.some(({ row }) => row.includes(secret))).toBe(false)
  })

  test('every token that is not exactly one is refused alike', async () => {
    const keyring = openKeyring(network.db)
    const { token } = await make()
    const [, id = '', secret = ''] = token.split('_')
    const flipped = (secret.startsWith('0') ? '1' : '0') + secret.slice(1)
    const wrong = [
      '',
      'assay_',
      `assay_${id}_${flipped}`,
      `assay_${'0'.repeat(16)}_${secret}`,
      `${token} `,
      `${token}\n`,
      token.toUpperCase(),
      token.slice(0, -1),
      `${token}0`,
      `assay_${id}'--_${secret}`,
      `assay_' OR '1'='1_${secret}`,
      'x'.repeat(1e6),
    ]
    for (const text of wrong) {
      const verdict = await keyring.authenticate(text, { now: NOW })
      expect(verdict.ok ? 'accepted' : verdict.code).toBe('wire/unauthenticated')
    }
    expect((await keyring.authenticate(token, { now: NOW })).ok).toBe(true)
  })

  test('a key ends when it expires', async () => {
    const keyring = openKeyring(network.db)
    const { token } = await make({ expiresAt: new Date(NOW).toISOString() })
    expect((await keyring.authenticate(token, { now: NOW - 1 })).ok).toBe(true)
    expect((await keyring.authenticate(token, { now: NOW })).ok).toBe(false)
    const { key } = await make({ expiresAt: '2031-01-01T02:30:00+02:30' })
    expect(key.expiresAt).toBe('2031-01-01T00:00:00.000Z')
    // A year that PostgreSQL writes otherwise than JavaScript.
    expect((await make({ expiresAt: '0000-01-01T00:00:00Z' })).key.expiresAt).not.toBeNull()
  })

  test('a revoked key is refused at once where it was revoked, and soon elsewhere', async () => {
    const [here, there] = [openKeyring(network.db), openKeyring(network.open())]
    const { key, token } = await make()
    for (const keyring of [here, there])
      expect((await keyring.authenticate(token, { now: NOW })).ok).toBe(true)
    const revoked = await network.tx((tx) => revokeKey(tx, key.id))
    here.forget(key.id)
    expect(revoked.revokedAt).not.toBeNull()
    expect((await here.authenticate(token, { now: NOW })).ok).toBe(false)
    expect((await there.authenticate(token, { now: NOW + 2_000 })).ok).toBe(false)
    // Revoking again changes nothing, and is told once.
    expect(await network.tx((tx) => revokeKey(tx, key.id))).toEqual(revoked)
    const { rows } = await network.db.query(
      "SELECT FROM event WHERE type = 'key.revoked' AND data->>'id' = $1",
      [key.id],
    )
    expect(rows).toHaveLength(1)
  })

  test('revoking what is not there', async () => {
    const error = await network.tx((tx) => revokeKey(tx, "' OR true --")).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AssayError)
    expect((error as AssayError).code).toBe('wire/not-found')
  })

  test('a second key of an account leaves its quota, one with a quota sets it', async () => {
    const quota = { jobsPerMinute: 1, queuedSegments: 2, blobBytes: 3 }
    await make({ account: 'quota', quota })
    expect((await make({ account: 'quota' })).key.quota).toEqual(quota)
    expect((await make({ account: 'quota', quota: { ...quota, blobBytes: 4 } })).key.quota.blobBytes).toBe(4)
  })

  test('names are only names', async () => {
    const account = `'); DROP TABLE api_key; -- "{}\\`
    const { token } = await make({ account })
    const who = await openKeyring(network.db).authenticate(token, { now: NOW })
    expect(who.ok && who.value.account).toBe(account)
  })

  test('pages have each key once', async () => {
    for (let i = 0; i < 5; i++) await make()
    const ids: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await keysPage(network.db, { cursor, limit: 2 })
      ids.push(...page.items.map(({ id }) => id))
      if (page.nextCursor === null) break
      cursor = page.nextCursor
    }
    const { rows } = await network.db.query<{ id: string }>('SELECT id FROM api_key ORDER BY id')
    expect(ids).toEqual(rows.map(({ id }) => id))
  })
})

test('scopes allow what they name, and admin everything', () => {
  expect(mayUse({ scopes: ['jobs:read'] }, 'jobs:read').ok).toBe(true)
  expect(mayUse({ scopes: ['jobs:read'] }, 'jobs:write')).toMatchObject({ ok: false, code: 'wire/forbidden' })
  expect(mayUse({ scopes: ['admin'] }, 'nodes:enrol').ok).toBe(true)
  expect(mayUse({ scopes: [] }, 'jobs:read').ok).toBe(false)
})
