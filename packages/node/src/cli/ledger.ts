/** `assay ledger`: credits of this account, or of all for the operator. */
import { Command } from 'commander'
import { countFrom } from './arguments.ts'
import { type AddCommand, describedCommand, type Perform, USAGE_EXIT } from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { formatCount, table } from './style.ts'

export const ledgerCommand: AddCommand = (perform) =>
  new Command('ledger')
    .summary('balances, transfers and deposits of credits')
    .description(
      'Credits are whole numbers; every transfer has two sides, and the sum over all accounts is zero.',
    )
    .addCommand(balanceCommand(perform))
    .addCommand(accountsCommand(perform))
    .addCommand(transfersCommand(perform))
    .addCommand(depositCommand(perform))

const credits = (amount: number) => `${amount < 0 ? '-' : ''}${formatCount(Math.abs(amount))}`

function balanceCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('balance', {
      summary: 'credits of your account',
      description: 'Shows what your account can spend.',
      examples: [['how much is left', 'assay ledger balance']],
      exits: [[0, 'shown'], USAGE_EXIT],
    }),
  ).action(
    perform<ConnectionOptions>(async (options, { signal }) => {
      const view = await (await connect(options)).balance({}, { signal })
      return { exitCode: 0, json: view, text: () => `${view.account}: ${credits(view.balance)} credits` }
    }),
  )
}

function accountsCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('accounts', {
      summary: 'balances of all accounts (operator)',
      description: 'Lists every account and its balance; needs a key with the scope admin.',
      examples: [['who has what', 'assay ledger accounts']],
      exits: [[0, 'listed'], USAGE_EXIT],
    }),
  ).action(
    perform<ConnectionOptions>(async (options, { signal }) => {
      const client = await connect(options)
      const accounts: { account: string; balance: number }[] = []
      let cursor: string | null = null
      do {
        const query: { cursor?: string } = cursor === null ? {} : { cursor }
        const page = await client.accounts({ query }, { signal })
        accounts.push(...page.items)
        cursor = page.nextCursor
      } while (cursor !== null)
      const sum = accounts.reduce((total, { balance }) => total + balance, 0)
      return {
        exitCode: 0,
        json: { accounts, sum },
        text: (style) =>
          table(
            [
              ['account', 'credits'].map(style.faint),
              ...accounts.map(({ account, balance }) => [account, credits(balance)]),
              [style.strong('sum'), credits(sum)],
            ],
            'right',
          ),
      }
    }),
  )
}

function transfersCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('transfers', {
      summary: 'transfers, newest first',
      description: 'Lists transfers of your account; with a key of the scope admin, of any.',
      examples: [['what was paid', 'assay ledger transfers --limit 50']],
      exits: [[0, 'listed'], USAGE_EXIT],
    }),
  )
    .option('--account <name>', 'of this account (operator), such as node:ID or submitter:NAME')
    .option('--limit <n>', 'how many', countFrom(1), 20)
    .action(
      perform<ConnectionOptions & { readonly account?: string; readonly limit: number }>(
        async (options, { signal }) => {
          const { account, limit } = options
          const query = { limit, ...(account === undefined ? {} : { account }) }
          const { items } = await (await connect(options)).transfers({ query }, { signal })
          return {
            exitCode: 0,
            json: { transfers: items as never },
            text: (style) =>
              table([
                ['time', 'kind', 'from', 'to', 'credits', 'job'].map(style.faint),
                ...items.map((t) => [
                  t.at,
                  t.kind,
                  short(t.from),
                  short(t.to),
                  credits(t.amount),
                  t.jobId ?? '',
                ]),
              ]),
          }
        },
      ),
    )
}

/** Node ids are long; twelve digits tell them apart. */
function short(account: string): string {
  return account.replace(/([0-9a-f]{12})[0-9a-f]{52}/, '$1…')
}

function depositCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('deposit', {
      summary: 'issue credits to an account (operator)',
      description: 'Issues credits; needs a key with the scope admin.',
      examples: [['a thousand to a submitter', 'assay ledger deposit submitter:alice 1000']],
      exits: [[0, 'issued'], USAGE_EXIT],
    }),
  )
    .argument('<account>', 'submitter:NAME, or stake:ID of a node')
    .argument('<credits>', 'how many', countFrom(1))
    .action(
      perform<ConnectionOptions>(async (options, { signal }, [account = '', amount = '']) => {
        const body = { account, amount: Number(amount) }
        const view = await (await connect(options)).deposit({ body }, { signal })
        return { exitCode: 0, json: view, text: () => `${view.account}: ${credits(view.balance)} credits` }
      }),
    )
}
