/** The network as anybody sees it, and its transparency log. */
import { MAX_PAGE } from 'assay/wire/api'
import type { CoordinatorDeps } from './deps.ts'
import type { HandlersOf } from './handler.ts'

export function logHandlers({
  network,
  sealing,
}: CoordinatorDeps): HandlersOf<'network' | 'checkpoint' | 'logInclusion' | 'logConsistency' | 'logEntries'> {
  return {
    network: () => network(),
    checkpoint: () => sealing.checkpoint(),
    logInclusion: ({ query }) => sealing.inclusion(query.index),
    logConsistency: async ({ query: { from, to } }) => ({
      from,
      to,
      ...(await sealing.consistency({ from, to })),
    }),
    logEntries: async ({ query: { from, limit = MAX_PAGE } }) => ({
      from,
      leaves: await sealing.entries({ from, limit }),
    }),
  }
}
