/** `assay key api`: API keys of a network, for its operator. */
import { SCOPES, type Scope } from 'assay/wire/account'
import { Command, Option } from 'commander'
import { describedCommand, type Perform, USAGE_EXIT } from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { table } from './style.ts'

interface NewOptions extends ConnectionOptions {
  readonly account: string
  readonly scope: readonly Scope[]
  readonly expires?: string
}

export function keyApiCommand(perform: Perform): Command {
  return new Command('api')
    .summary('API keys of a network (operator)')
    .description(
      'Makes, lists and revokes the keys that submitters and operators of nodes use; needs the scope admin.',
    )
    .addCommand(newCommand(perform))
    .addCommand(listCommand(perform))
    .addCommand(revokeCommand(perform))
}

function newCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('new', {
      summary: 'make an API key',
      description:
        'Makes a key for an account, which is made when there is none. The key is shown this once.',
      examples: [
        ['for somebody who submits jobs', 'assay key api new --account alice --scope jobs:write jobs:read'],
        ['to enrol nodes of an operator', 'assay key api new --account bob --scope nodes:enrol'],
      ],
      exits: [[0, 'made'], USAGE_EXIT],
    }),
  )
    .requiredOption('--account <name>', 'whose it is')
    .addOption(new Option('--scope <scope...>', 'what it may do').choices(SCOPES).makeOptionMandatory())
    .option('--expires <time>', 'RFC 3339, such as 2027-01-01T00:00:00Z')
    .action(
      perform<NewOptions>(async (options, { signal }) => {
        const { account, scope, expires } = options
        const body = { account, scopes: [...scope], ...(expires === undefined ? {} : { expiresAt: expires }) }
        const made = await (await connect(options)).makeKey({ body }, { signal })
        return {
          exitCode: 0,
          json: made as never,
          text: (style) =>
            table([
              ['key', style.strong(made.token)],
              ['id', made.key.id],
              ['account', made.key.account],
              ['scopes', made.key.scopes.join(', ')],
            ]),
        }
      }),
    )
}

function listCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('ls', {
      summary: 'list API keys',
      description: 'Lists keys with their scopes; the keys themselves are kept as digests only.',
      examples: [['which there are', 'assay key api ls']],
      exits: [[0, 'listed'], USAGE_EXIT],
    }),
  ).action(
    perform<ConnectionOptions>(async (options, { signal }) => {
      const { items } = await (await connect(options)).listKeys({ query: { limit: 500 } }, { signal })
      return {
        exitCode: 0,
        json: { keys: items as never },
        text: (style) =>
          table([
            ['id', 'account', 'scopes', 'made', 'state'].map(style.faint),
            ...items.map((key) => [
              key.id,
              key.account,
              key.scopes.join(', '),
              key.createdAt,
              key.revokedAt === null
                ? key.expiresAt === null
                  ? ''
                  : `until ${key.expiresAt}`
                : style.bad('revoked'),
            ]),
          ]),
      }
    }),
  )
}

function revokeCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('revoke', {
      summary: 'revoke an API key',
      description: 'From now on the key is refused. Nodes that were enrolled with it stay.',
      examples: [['it leaked', 'assay key api revoke ID']],
      exits: [[0, 'revoked'], USAGE_EXIT],
    }),
  )
    .argument('<id>', 'as `assay key api ls` lists it')
    .action(
      perform<ConnectionOptions>(async (options, { signal }, [id = '']) => {
        const key = await (await connect(options)).revokeKey({ params: { id } }, { signal })
        return {
          exitCode: 0,
          json: { key: key as never },
          text: () => `Key ${key.id} of ${key.account} is revoked.`,
        }
      }),
    )
}
