/** What `assay up` and its demonstration share: their options, and how they leave the way in for other commands. */
import type { Network } from '../network/up.ts'
import type { LogLevel } from '../service/log.ts'
import type { Session } from './command.ts'
import { keepConnection } from './connection.ts'

export interface UpOptions {
  readonly folder?: string
  readonly port?: number
  readonly nodes: number
  readonly databaseUrl?: string
  readonly logLevel: LogLevel
  readonly demo: boolean
  readonly keep: boolean
}

export async function leaveConnection(network: Network, session: Session): Promise<void> {
  const { url, coordinatorId, admin } = network
  const path = await keepConnection({ url, token: admin.token, coordinator: coordinatorId })
  for (const line of [
    `The network listens on ${url}; ${network.nodes.length} nodes are there.`,
    `Address and API key for other commands are in ${path}. For your own programs:`,
    `  curl -H "Authorization: Bearer ${network.submitter.token}" ${url}/v1/jobs`,
    'Ctrl+C stops it.',
  ])
    session.note(line)
}
