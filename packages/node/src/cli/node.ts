/** `assay node`: lends this machine to a network; `assay node ls|show|drain` looks at the nodes of one. */
import { Command } from 'commander'
import { NODE_OPTIONS } from '../executor/config.ts'
import { startNode } from '../executor/service.ts'
import { runLife } from '../service/lifecycle.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { keyOf } from './key-store.ts'
import { nodeDrainCommand, nodeListCommand, nodeShowCommand } from './node-list.ts'
import { addServiceOptions, readService, type ServiceFlags } from './service-options.ts'

/** What handing back may take. */
const HAND_BACK_MS = 5_000

interface NodeFlags extends ServiceFlags {
  readonly key?: string
}

export const nodeCommand: AddCommand = (perform) => {
  const run = addServiceOptions(
    describedCommand('run', {
      summary: 'lend this machine to a network',
      description:
        'Registers with a coordinator, runs the work that it is given, and signs what it answers. SIGTERM lets it ' +
        'finish what it has; a second one ends it at once. docs/guides/node.md has a systemd unit.',
      examples: [
        [
          'a node of the operator alice',
          'assay node run --coordinator http://127.0.0.1:8700 --operator alice --enrolment KEY --cache-folder /var/cache/assay',
        ],
      ],
      exits: [[0, 'it was told to stop, and lost nothing'], [1, 'a part of it failed'], USAGE_EXIT],
    }),
    NODE_OPTIONS,
  )
    .option('--key <file>', 'key to sign with (default: the key of this machine)')
    .action(perform<NodeFlags>(runNode))
  return new Command('node')
    .summary('lend this machine to a network; look at its nodes')
    .description('`assay node run` is the service; the other commands look at the nodes of a network.')
    .addCommand(run)
    .addCommand(nodeListCommand(perform))
    .addCommand(nodeShowCommand(perform))
    .addCommand(nodeDrainCommand(perform))
}

async function runNode({ key: keyFile, ...flags }: NodeFlags, session: Session): Promise<Outcome> {
  const { config, log } = readService(NODE_OPTIONS, flags)
  const key = await keyOf(keyFile, session.note)
  const code = await runLife(
    async (life) => {
      await life.start('node', async (signal) => {
        const value = await startNode(config.values, { key, log, signal })
        return { value, stop: (now) => value.drain(now) }
      })
    },
    // Handing back what is left comes after the time for finishing it.
    { log, drainTimeoutMs: config.values.drainTimeoutMs + HAND_BACK_MS },
  )
  return serviceEnded('node', code)
}

export function serviceEnded(what: string, code: number): Outcome {
  const exitCode = code === 0 ? 0 : 1
  return { exitCode, json: { service: what, clean: exitCode === 0 }, text: () => `The ${what} stopped.` }
}
