/** Nodes: they register and live; people look at them and drain them. */
import { AssayError } from 'assay/core/errors'
import { addCanary, answersOfJob } from '../canary.ts'
import { freeVerifications } from '../life/verifications.ts'
import { nodesPage, nodeView } from '../registry/views.ts'
import { drainNode, registerNode } from '../registry.ts'
import type { CoordinatorDeps } from './deps.ts'
import type { HandlersOf } from './handler.ts'
import { pageAnswer, pageOptions } from './page.ts'

export function nodeHandlers({
  db,
  keyring,
  nodes,
  policy,
  heartbeats,
  content,
  verificationBoard,
  now,
}: CoordinatorDeps): HandlersOf<
  'registerNode' | 'heartbeat' | 'listNodes' | 'showNode' | 'drainNode' | 'addCanary'
> {
  const view = (id: string) => nodeView(db, { nodeId: id, policy })
  return {
    registerNode: async ({ body: { manifest, enrolment } }) => {
      const known = await keyring.authenticate(enrolment, { now: now() })
      if (!known.ok) throw new AssayError('wire/unauthenticated', `enrolment: ${known.message}`)
      const id = await db.tx((tx) => registerNode(tx, { manifest, principal: known.value, policy }))
      nodes.forget(id)
      if (manifest.role === 'verifier' && (await freeVerifications({ db }, id))) verificationBoard.signal()
      return view(id)
    },
    heartbeat: async ({ body: { running, leaving: isLeaving = false }, caller: { nodeId, state } }) => {
      heartbeats.beat({ nodeId, running, isLeaving })
      return { drain: state === 'draining', serverTime: new Date(now()).toISOString() }
    },
    listNodes: async ({ query }) => pageAnswer(await nodesPage(db, { ...pageOptions(query), policy })),
    showNode: ({ params: { id } }) => view(id),
    drainNode: async ({ params: { id }, body: { drain } }) => {
      await db.tx((tx) => drainNode(tx, { nodeId: id, drain }))
      nodes.forget(id)
      return view(id)
    },
    addCanary: async ({ body: { jobId } }) => {
      const known = await answersOfJob(db, jobId, { content })
      const pool = await db.tx((tx) => addCanary(tx, known))
      return { pool, rows: known.answers.length }
    },
  }
}
