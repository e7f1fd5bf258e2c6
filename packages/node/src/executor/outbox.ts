/**
 * Results and failures on their way to the coordinator: kept and sent again until they are answered, or the lease
 * that they belong to is lost.
 *
 * What is there when a request goes out goes with it, under one signature. While one is under way the next ones
 * gather, so that batches are as large as the coordinator is slow.
 */
import { toBase64, toHex } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { AssayError } from 'assay/core/errors'
import type { KeyPair } from 'assay/core/keys'
import type { ExecutionFields } from 'assay/core/poe'
import { signExecutionBatch } from 'assay/core/poe-batch'
import { type BlobSource, uploadBlob } from 'assay/wire/blob-transfer'
import {
  type FailuresRequest,
  MAX_INLINE_PROOF_BYTES,
  MAX_LEASES,
  type SegmentResult,
} from 'assay/wire/dispatch'
import { MAX_INLINE_BYTES } from 'assay/wire/text'
import type { Log } from '../service/log.ts'
import { backoff } from './backoff.ts'
import type { Executed } from './execution.ts'
import type { Held, HeldLeases } from './held.ts'
import { type Link, mayPass } from './link.ts'

/** Bodies stay below the protocol's cap, with room for what stands around the values. */
const MAX_BATCH_BYTES = 2 ** 23
/** Of a message that is told to the coordinator. */
const MAX_MESSAGE = 2048
/** Tries are counted here, where what is sent can change between them. */
const ONCE = { maxAttempts: 1 } as const

export interface Failure {
  readonly code: string
  readonly message: string
  readonly retryElsewhere: boolean
}
export type Outcome = 'accepted' | 'committed' | 'refused' | 'stale' | 'failed'

export interface Outbox {
  /** Uploads what is large, then queues it. Does not wait, and never throws. */
  result(held: Held, executed: Executed): void
  failure(held: Held, failure: Failure): void
  /** When nothing is left to send, or the signal gave up. */
  idle(): Promise<void>
}

export interface OutboxOptions {
  readonly link: Link
  readonly key: KeyPair
  readonly log: Log
  readonly leases: HeldLeases
  /** Registers again, when the coordinator does not know the node any more. */
  readonly enrol: () => Promise<void>
  /** Gives up on everything. */
  readonly signal: AbortSignal
  /** The lease is done with. */
  readonly onOutcome: (held: Held, outcome: Outcome) => void
  /** What stands last before a result is sent. */
  readonly alter?: ((result: SegmentResult, held: Held) => SegmentResult) | undefined
}

interface Entry<Message> {
  readonly held: Held
  readonly message: Message
  readonly sizeBytes: number
  /** Refused in company: it goes alone now, to see whose fault it was. */
  alone: boolean
}

type FailureMessage = FailuresRequest['failures'][number]
interface ResultMessage {
  readonly fields: ExecutionFields
  readonly result: SegmentResult
}

export function openOutbox(options: OutboxOptions): Outbox {
  const { link, leases, log, signal, onOutcome } = options
  const end = (held: Held, outcome: Outcome) => {
    if (!leases.isHeld(held)) return
    leases.end(held)
    onOutcome(held, outcome)
  }
  const failures = openQueue<FailureMessage>(options, {
    send: async (batch) => {
      const body = { failures: batch.map(({ message }) => message) }
      await link.client.failures({ body }, { ...ONCE, signal })
      for (const { held } of batch) end(held, 'failed')
    },
    refuse: ({ held }) => end(held, 'refused'),
  })
  const fail: Outbox['failure'] = (held, { code, message, retryElsewhere }) => {
    const { id, fence } = held.lease
    const text = message.slice(0, MAX_MESSAGE)
    failures.add(
      held,
      { id, fence, code: code.slice(0, 128), message: text, retryElsewhere },
      text.length + 256,
    )
  }
  const results = openQueue<ResultMessage>(options, {
    send: async (batch) => {
      const outcomes = await sendResults(batch, options)
      for (const [i, { held }] of batch.entries()) {
        const outcome = outcomes[i]
        if (outcome?.state === 'refused' && outcome.code !== 'wire/stale') {
          log.warn('a result was refused', { ...namesOf(held), code: outcome.code, reason: outcome.message })
        }
        end(held, outcome?.code === 'wire/stale' ? 'stale' : (outcome?.state ?? 'refused'))
      }
    },
    refuse: ({ held }, { code, message }) => fail(held, { code, message, retryElsewhere: false }),
  })
  return {
    failure: fail,
    result(held, executed) {
      results.whileAdding(async () => {
        try {
          const message = await resultMessage(held, executed, options)
          const { output, sampling } = message.result
          const sizeOf = (value: object | undefined) =>
            value !== undefined && 'inline' in value ? (value.inline as string).length : 128
          results.add(held, message, 1024 + sizeOf(output) + sizeOf(sampling?.proof))
        } catch (error) {
          if (held.signal.aborted || signal.aborted) return
          const { code, message } = error as AssayError
          log.error('a result cannot be uploaded', { ...namesOf(held), error })
          fail(held, { code: code ?? 'wire/unavailable', message, retryElsewhere: true })
        }
      })
    },
    idle: async () => {
      await results.idle()
      await failures.idle()
    },
  }
}

export function namesOf({ lease, group }: Held) {
  return { jobId: group.jobId, dispatchId: lease.id, from: lease.from, to: lease.to }
}

async function sendResults(batch: readonly Entry<ResultMessage>[], { link, key, signal }: OutboxOptions) {
  const fields = batch.map(({ message }) => message.fields)
  const { signature } = await signExecutionBatch(fields, key)
  const results = batch.map(({ message }) => message.result)
  const body = { signature: toBase64(signature), results }
  const { outcomes } = await link.client.results({ body }, { ...ONCE, signal })
  // Whatever the order in which they came: an answer that is missing counts as none.
  const byId = new Map(outcomes.map((outcome) => [outcome.id, outcome]))
  return batch.map(({ held }) => byId.get(held.lease.id))
}

/** Small values as they are, large ones as blobs that are uploaded first. */
async function resultMessage(
  held: Held,
  { id, fence, commitment, fields, output, outputCid, sampling, elapsedMs }: Executed,
  { link, signal, alter }: OutboxOptions,
): Promise<ResultMessage> {
  const place = async (bytes: Uint8Array, options: { readonly maxInline: number; readonly cid?: string }) => {
    if (bytes.length <= options.maxInline) return { inline: toBase64(bytes) }
    const cid = options.cid ?? contentAddress(bytes, 'raw')
    const read = (from: number, to: number) => bytes.subarray(from, to)
    // Made for what waits alone: most results are small, and thousands of them a second.
    const either = AbortSignal.any([signal, held.signal])
    await uploadPatiently(link, { cid, sizeBytes: bytes.length, read }, either)
    return { cid }
  }
  const result: SegmentResult = {
    id,
    fence,
    commitment: toHex(commitment),
    output: await place(output, { maxInline: MAX_INLINE_BYTES, cid: outputCid }),
    elapsedMs,
    ...(sampling === null
      ? {}
      : {
          sampling: {
            proof: await place(sampling.proof, { maxInline: MAX_INLINE_PROOF_BYTES }),
            signature: toBase64(sampling.signature),
          },
        }),
  }
  return { fields, result: alter === undefined ? result : alter(result, held) }
}

/** Tries until it is there or the signal aborts. Throws what will not pass. */
async function uploadPatiently({ client }: Link, source: BlobSource, signal: AbortSignal): Promise<void> {
  const pauses = backoff()
  for (;;) {
    try {
      return await uploadBlob(client, source, { side: 'node', signal })
    } catch (error) {
      signal.throwIfAborted()
      if (!mayPass(error)) throw error
      await pauses.wait(signal)
    }
  }
}

interface QueueActions<Message> {
  /** Sends a batch, and ends what is answered. */
  readonly send: (batch: readonly Entry<Message>[]) => Promise<void>
  /** It was refused alone, for what it is. */
  readonly refuse: (entry: Entry<Message>, error: AssayError) => void
}

function openQueue<Message>(
  { leases, signal, log, enrol }: OutboxOptions,
  { send, refuse }: QueueActions<Message>,
) {
  const waiting: Entry<Message>[] = []
  const adding = new Set<Promise<void>>()
  let sending: Promise<void> | undefined
  const pauses = backoff()

  const sendBatch = async (batch: readonly Entry<Message>[]): Promise<void> => {
    try {
      await send(batch)
      pauses.reset()
    } catch (error) {
      if (signal.aborted) return
      const refusal = error instanceof AssayError ? error : undefined
      if (refusal !== undefined && !mayPass(refusal)) {
        if (batch.length === 1) return refuse(batch[0] as Entry<Message>, refusal)
        for (const entry of batch) entry.alone = true
      } else {
        log.warn('what the node has to say was not taken yet', {
          waiting: waiting.length + batch.length,
          error,
        })
        await pauses.wait(signal)
        if (refusal?.code === 'wire/unauthenticated') await enrol().catch(() => undefined)
      }
      waiting.unshift(...batch)
    }
  }
  const sendAll = async (): Promise<void> => {
    // What is added in this turn of the event loop goes together.
    await Promise.resolve()
    for (let batch = takeBatch(waiting, leases); batch.length > 0; batch = takeBatch(waiting, leases)) {
      if (signal.aborted) return
      await sendBatch(batch)
    }
  }
  const start = () => {
    sending ??= sendAll().finally(() => {
      sending = undefined
      if (waiting.length > 0 && !signal.aborted) start()
    })
  }
  return {
    add(held: Held, message: Message, sizeBytes: number) {
      waiting.push({ held, message, sizeBytes, alone: false })
      start()
    },
    whileAdding(add: () => Promise<void>) {
      const added = add().finally(() => adding.delete(added))
      adding.add(added)
    },
    async idle() {
      while (adding.size > 0 || sending !== undefined) await Promise.all([...adding, sending])
    },
  }
}

/** The next entries that fit into one request; those whose lease is lost are dropped. */
function takeBatch<Message>(waiting: Entry<Message>[], leases: HeldLeases): Entry<Message>[] {
  const batch: Entry<Message>[] = []
  let size = 0
  while (waiting.length > 0 && batch.length < MAX_LEASES) {
    const entry = waiting[0] as Entry<Message>
    if (!leases.isHeld(entry.held)) {
      waiting.shift()
      continue
    }
    size += entry.sizeBytes
    if (batch.length > 0 && (size > MAX_BATCH_BYTES || entry.alone || batch[0]?.alone)) break
    batch.push(entry)
    waiting.shift()
  }
  return batch
}
