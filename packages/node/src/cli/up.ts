/** `assay up`: a whole network on this machine, without any configuration. */
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Option } from 'commander'
import { startNetwork } from '../network/up.ts'
import { runLife } from '../service/lifecycle.ts'
import { createLog, LOG_LEVELS } from '../service/log.ts'
import { countFrom } from './arguments.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { dropConnection } from './connection.ts'
import { serviceEnded } from './node.ts'
import { runNetworkDemo } from './up-demo.ts'
import { leaveConnection, type UpOptions } from './up-options.ts'

const DEFAULT_PORT = 8700
const DEFAULT_NODES = 3

export const upCommand: AddCommand = (perform) =>
  describedCommand('up', {
    summary: 'a whole network on this machine: database, coordinator, verifier, nodes',
    description:
      'Starts a PostgreSQL of its own, a coordinator, a verifier and some nodes of different operators, in one ' +
      'process, and leaves address and API key for the other commands of this user. With --demo, two of five nodes ' +
      'cheat and one dies, a real job runs, and you see what becomes of it.',
    examples: [
      ['a network to try things on', 'assay up'],
      [
        'from another shell',
        'assay submit onnx --model examples/digits/model.onnx --input examples/digits/images.npy --redundancy 0.2',
      ],
      ['see cheats caught', 'assay up --demo'],
    ],
    exits: [[0, 'it was told to stop; with --demo: all went as it should'], [1, 'it did not'], USAGE_EXIT],
  })
    .option(
      '--folder <folder>',
      'database, blobs and keys (default: ~/.local/share/assay/network; a fresh one with --demo)',
    )
    .option(
      '--port <n>',
      `where the coordinator listens; 0 is any free port (default: ${DEFAULT_PORT}, any with --demo)`,
      countFrom(0),
    )
    .option('--nodes <n>', 'how many, each of an operator of its own', countFrom(0), DEFAULT_NODES)
    .addOption(
      new Option('--database-url <url>', 'a PostgreSQL of yours instead of its own').env('DATABASE_URL'),
    )
    .addOption(
      new Option('--log-level <level>', 'lines below are not written').choices(LOG_LEVELS).default('warn'),
    )
    .option('--demo', 'run the demonstration, and stop', false)
    .option('--keep', 'with --demo: leave the network running afterwards', false)
    .action(perform<UpOptions>(up))

async function up(options: UpOptions, session: Session): Promise<Outcome> {
  if (options.demo) return runNetworkDemo(options, session)
  const log = createLog({ level: options.logLevel })
  const folder = options.folder ?? dataFolder()
  const plans = Array.from({ length: options.nodes }, (_, i) => ({
    name: `node-${i + 1}`,
    operator: `operator-${i + 1}`,
  }))
  const code = await runLife(
    async (life) => {
      const network = await life.start('network', async (signal) => {
        const value = await startNetwork({
          folder,
          port: options.port ?? DEFAULT_PORT,
          nodes: plans,
          log,
          signal,
          ...(options.databaseUrl === undefined ? {} : { databaseUrl: options.databaseUrl }),
        })
        return { value, stop: (now) => value.stop(now) }
      })
      await life.start('connection', async () => {
        await leaveConnection(network, session)
        return { value: undefined, stop: () => dropConnection(network) }
      })
    },
    { log },
  )
  return serviceEnded('network', code)
}

function dataFolder(): string {
  return join(process.env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'assay', 'network')
}
