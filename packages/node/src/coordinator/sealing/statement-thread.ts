/**
 * Statements of large jobs, made on a thread of their own, one at a time: on the main one they would hold up leases.
 *
 * The thread is started by the first and kept: it does not keep the process alive.
 */
import { Worker } from 'node:worker_threads'
import { AssayError } from 'assay/core/errors'
import type { PublicKey } from 'assay/core/keys'
import type { ReceiptRecords } from './records.ts'
import type { Payload, StatementReply, StatementRequest } from './statement.ts'

export interface StatementThread {
  /** Throws what `makePayload` does. The results are the thread's from then on. */
  make(records: ReceiptRecords, coordinator: PublicKey): Promise<Payload>
  /** What is under way fails. */
  close(): Promise<void>
}

export function openStatementThread(): StatementThread {
  let worker: Worker | undefined
  let last: Promise<unknown> = Promise.resolve()
  let isClosed = false

  async function make(request: StatementRequest): Promise<Payload> {
    if (isClosed) throw new Error('the thread that makes statements was closed')
    worker ??= new Worker(new URL('./statement-worker.js', import.meta.url), { env: {} })
    const own = worker
    own.ref()
    try {
      return await answerOf(own, request)
    } catch (error) {
      // Ended by `close`, or by a defect of ours: the next statement gets a new one.
      if (!(error instanceof AssayError)) worker = undefined
      throw error
    } finally {
      own.unref()
    }
  }

  return {
    make(records, coordinator) {
      const made = last.then(() => make({ records, coordinator }))
      last = made.catch(() => undefined)
      return made
    },
    async close() {
      isClosed = true
      await worker?.terminate()
      await last
    },
  }
}

function answerOf(worker: Worker, request: StatementRequest): Promise<Payload> {
  return new Promise((resolve, reject) => {
    const answered = (reply: StatementReply) => {
      settle()
      if ('payload' in reply) resolve(reply)
      else reject(AssayError.fromJSON(reply.error))
    }
    const lost = (cause: unknown) => {
      settle()
      reject(new Error('the thread that makes statements ended', { cause }))
    }
    const settle = () => {
      worker.off('message', answered).off('error', lost).off('exit', lost)
    }
    worker.on('message', answered).on('error', lost).on('exit', lost)
    const { nodeOf, digests } = request.records.results
    worker.postMessage(request, [nodeOf.buffer, digests.buffer])
  })
}
