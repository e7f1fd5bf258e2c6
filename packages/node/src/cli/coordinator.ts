/** `assay coordinator`: the service that takes jobs and gives them to nodes. */
import { COORDINATOR_OPTIONS } from '../coordinator/config.ts'
import { startCoordinator } from '../coordinator/service.ts'
import { runLife } from '../service/lifecycle.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { serviceEnded } from './node.ts'
import { addServiceOptions, readService, type ServiceFlags } from './service-options.ts'

export const coordinatorCommand: AddCommand = (perform) =>
  addServiceOptions(
    describedCommand('coordinator', {
      summary: 'take jobs, give them to nodes, judge and settle what comes back',
      description:
        'Serves the public protocol over a PostgreSQL database. Any number of replicas may share one database and ' +
        'one blob folder. The first start prints the key of the administrator, once. docs/guides/operator.md says more.',
      examples: [
        [
          'over a database of yours',
          'DATABASE_URL=postgres://assay@db/assay assay coordinator --blob-folder /var/lib/assay/blobs --port 8700',
        ],
      ],
      exits: [[0, 'it was told to stop, and lost nothing'], [1, 'a part of it failed'], USAGE_EXIT],
    }),
    COORDINATOR_OPTIONS,
  ).action(perform<ServiceFlags>(runCoordinator))

async function runCoordinator(flags: ServiceFlags, session: Session): Promise<Outcome> {
  const { config, log } = readService(COORDINATOR_OPTIONS, flags)
  const code = await runLife(
    async (life) => {
      await life.start('coordinator', async (signal) => {
        const value = await startCoordinator(config.values, { log, signal })
        session.note(`The coordinator listens on ${value.url}.`)
        if (value.adminToken !== undefined) {
          session.note(`Key of the administrator, shown this once: ${value.adminToken}`)
        }
        return { value, stop: (now) => value.stop(now) }
      })
    },
    { log },
  )
  return serviceEnded('coordinator', code)
}
