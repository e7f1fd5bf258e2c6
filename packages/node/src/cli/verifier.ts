/** `assay verifier`: checks the results of a network by sampling. */
import { runLife } from '../service/lifecycle.ts'
import { VERIFIER_OPTIONS } from '../verifier/config.ts'
import { startVerifier } from '../verifier/service.ts'
import { openMachine } from '../work/machine.ts'
import { type AddCommand, describedCommand, type Outcome, type Session, USAGE_EXIT } from './command.ts'
import { keyOf } from './key-store.ts'
import { serviceEnded } from './node.ts'
import { addServiceOptions, readService, type ServiceFlags } from './service-options.ts'

interface VerifierFlags extends ServiceFlags {
  readonly key?: string
}

export const verifierCommand: AddCommand = (perform) =>
  addServiceOptions(
    describedCommand('verifier', {
      summary: 'check the results of a network by sampling',
      description:
        'Asks a coordinator for results whose rows are to be sampled, computes some of them again, and returns ' +
        'signed verdicts. Run it on a machine that you trust: its word decides over nodes.',
      examples: [
        [
          'beside a coordinator',
          'assay verifier --coordinator http://127.0.0.1:8700 --operator me --enrolment KEY --cache-folder /var/cache/assay',
        ],
      ],
      exits: [[0, 'it was told to stop'], [1, 'a part of it failed'], USAGE_EXIT],
    }),
    VERIFIER_OPTIONS,
  )
    .option('--key <file>', 'key to sign with (default: the key of this machine)')
    .action(perform<VerifierFlags>(runVerifier))

async function runVerifier({ key: keyFile, ...flags }: VerifierFlags, session: Session): Promise<Outcome> {
  const { config, log } = readService(VERIFIER_OPTIONS, flags)
  const key = await keyOf(keyFile, session.note)
  const code = await runLife(
    async (life) => {
      const machine = await life.start('machine', async () => {
        const value = await openMachine({ ...config.values, log })
        return { value, stop: () => value.close() }
      })
      await life.start('verifier', async (signal) => {
        const value = await startVerifier(config.values, { key, log, machine, signal })
        return { value, stop: (now) => value.stop(now) }
      })
    },
    { log },
  )
  return serviceEnded('verifier', code)
}
