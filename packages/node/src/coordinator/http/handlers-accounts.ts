/** API keys and the ledger. */
import { AssayError } from 'assay/core/errors'
import { keysPage, makeKey, type Principal, revokeKey } from '../accounts.ts'
import { deposit, submitterAccount } from '../ledger.ts'
import { accountsPage, balances, transfersPage } from '../ledger-read.ts'
import type { CoordinatorDeps } from './deps.ts'
import type { HandlersOf } from './handler.ts'
import { pageAnswer, pageOptions } from './page.ts'

export function accountHandlers({
  db,
  keyring,
  reservations,
}: CoordinatorDeps): HandlersOf<
  'makeKey' | 'listKeys' | 'revokeKey' | 'balance' | 'accounts' | 'transfers' | 'deposit'
> {
  const balanceOf = async (account: string) => ({
    account,
    balance: (await balances(db, [account])).get(account) ?? 0,
  })
  return {
    makeKey: ({ body }) => db.tx((tx) => makeKey(tx, body)),
    listKeys: async ({ query }) => pageAnswer(await keysPage(db, pageOptions(query))),
    revokeKey: async ({ params: { id } }) => {
      const key = await db.tx((tx) => revokeKey(tx, id))
      keyring.forget(id)
      return key
    },
    balance: ({ caller }) => balanceOf(submitterAccount(caller.account)),
    accounts: async ({ query }) => pageAnswer(await accountsPage(db, pageOptions(query))),
    transfers: async ({ query: { account, ...page }, caller }) =>
      pageAnswer(await transfersPage(db, { ...pageOptions(page), account: visibleAccount(caller, account) })),
    deposit: async ({ body, bytes, idempotencyKey, caller }) => {
      if (idempotencyKey !== undefined) {
        const reservation = {
          account: caller.account,
          key: idempotencyKey,
          operation: 'deposit',
          body: bytes,
        }
        await reservations.reserve({ ...reservation, plan: null })
      }
      const once = idempotencyKey === undefined ? {} : { once: `deposit:${caller.account}:${idempotencyKey}` }
      await db.tx((tx) => deposit(tx, { ...body, ...once }))
      return balanceOf(body.account)
    },
  }
}

/** Its own, or any for an administrator, who sees all where none is named. */
function visibleAccount(caller: Principal, account: string | undefined): string | undefined {
  if (caller.scopes.includes('admin')) return account
  const own = submitterAccount(caller.account)
  if (account === undefined || account === own) return own
  throw new AssayError('wire/forbidden', `this API key sees the transfers of ${own} alone`)
}
