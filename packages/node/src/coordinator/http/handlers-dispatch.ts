/** Work on its way to nodes and verifiers and back. */
import { AssayError } from 'assay/core/errors'
import { queuesOf, reservationsOf } from '../life/queue.ts'
import type { NodeInfo } from '../registry/nodes.ts'
import type { CoordinatorDeps } from './deps.ts'
import type { HandlersOf } from './handler.ts'
import { type Place, place } from './work-board.ts'

/** The one place of the board of verifications. */
export const VERIFICATIONS: Place = place('verification', '')

export function dispatchHandlers({
  dispatch,
  nodes,
  now,
  segmentBoard,
  verificationBoard,
}: CoordinatorDeps): HandlersOf<
  'lease' | 'renewLeases' | 'results' | 'failures' | 'leaseVerifications' | 'verdicts'
> {
  return {
    lease: async ({ body: { max, waitMs }, caller, signal }) => {
      const node = solver(caller)
      const isDraining = node.state === 'draining'
      // Standing may change while a node waits: one that was promoted may have more, one in quarantine nothing.
      const asOfNow = async () => (await nodes.get([node.nodeId], now())).get(node.nodeId) ?? node
      const groups = isDraining
        ? []
        : await segmentBoard.wait({
            places: placesOf({ ...node, standing: 'trusted' }),
            waitMs,
            // Read only where there is something to wait for.
            signal: waitMs > 0 ? signal : NEVER,
            attempt: async () => notEmpty(dispatch.leaseSegments(await asOfNow(), max)),
            mayHave: async (at) => placesOf(await asOfNow()).includes(at),
          })
      return { groups: groups ?? [], drain: isDraining }
    },
    renewLeases: async ({ body: { leases }, caller }) => ({
      lost: await dispatch.renewLeases(solver(caller).nodeId, leases),
    }),
    results: async ({ body, caller }) => ({ outcomes: await dispatch.takeResults(solver(caller), body) }),
    failures: async ({ body, caller }) => {
      await dispatch.takeFailures(solver(caller), body)
      return {}
    },
    leaseVerifications: async ({ body: { max, waitMs }, caller, signal }) => {
      const verifications = await verificationBoard.wait({
        places: [VERIFICATIONS],
        waitMs,
        signal: waitMs > 0 ? signal : NEVER,
        attempt: () => notEmpty(dispatch.leaseVerifications(caller, max)),
      })
      return { verifications: verifications ?? [] }
    },
    verdicts: async ({ body, caller }) => ({ stale: await dispatch.takeVerdicts(caller, body) }),
  }
}

const NEVER = new AbortController().signal

function solver(node: NodeInfo): NodeInfo {
  if (node.role === 'solver') return node
  throw new AssayError('wire/forbidden', `this is for solvers, and the node is a ${node.role}`)
}

function placesOf(node: Pick<NodeInfo, 'operator' | 'standing' | 'manifest'>): Place[] {
  const reservations = reservationsOf(node)
  return queuesOf(node.manifest).flatMap((queue) => reservations.map((whom) => place(queue, whom)))
}

async function notEmpty<T>(found: Promise<T[]>): Promise<T[] | undefined> {
  const list = await found
  return list.length === 0 ? undefined : list
}
