/** The thread that makes the statements of large jobs (statement-thread.ts starts it): a million segments take it seconds. */
import { parentPort } from 'node:worker_threads'
import { AssayError } from 'assay/core/errors'
import { makePayload, type StatementReply, type StatementRequest } from './statement.ts'

parentPort?.on('message', ({ records, coordinator }: StatementRequest) => {
  const reply = answerTo()
  parentPort?.postMessage(reply, 'payload' in reply ? [reply.payload.buffer] : [])

  function answerTo(): StatementReply {
    try {
      return makePayload(records, coordinator)
    } catch (error) {
      if (error instanceof AssayError) return { error: error.toJSON() }
      throw error
    }
  }
})
