/**
 * The worker thread of a pool (pool.ts): loads the task, opens the input, computes pieces one after another.
 *
 * Started by piscina, which calls the default export for each message. The next message may come while a
 * piece is being computed, so that a worker never waits for the pool; pieces still run in order, since those
 * of a chain build on one another.
 */
import { workerData } from 'node:worker_threads'
import { AssayError, type SerializedError } from 'assay/core/errors'
import { computeSegment } from 'assay/method/sampling/executor'
import type { AnyTask, Execution } from 'assay/task/task'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import {
  type PieceReply,
  type PieceRequest,
  type PieceResult,
  packSegment,
  type WorkerSetup,
} from './piece.ts'

const setup = workerData as WorkerSetup

interface OpenTask {
  readonly task: AnyTask
  readonly input: unknown
}

let opened: Promise<OpenTask> | undefined
let current: { readonly run: number; readonly execution: Execution<unknown> } | undefined
let last: Promise<unknown> = Promise.resolve()

export default function takePiece(request: PieceRequest): Promise<unknown> {
  const reply = last.then(() => answer(request))
  last = reply
  return reply
}

/** Never rejects. */
async function answer(request: PieceRequest): Promise<unknown> {
  try {
    opened ??= openTask(setup)
    const reply = await computePiece(await opened, request)
    return moved(reply, [reply.states.buffer, reply.ends.buffer, reply.items.buffer])
  } catch (error) {
    return { error: serialized(error) } satisfies PieceResult
  }
}

async function computePiece({ task, input }: OpenTask, request: PieceRequest): Promise<PieceReply> {
  const { run, indices, block, cancelled } = request
  const started = performance.now()
  if (current?.run !== run) current = { run, execution: cancellable(task.open(input), cancelled) }
  const segment = await computeSegment(task, current.execution, {
    indices: indices ?? [],
    ...(block ? { block } : {}),
  })
  return { ...packSegment(task.state, segment), elapsedMs: performance.now() - started }
}

/** Looks at the flag before each state, so that a cancelled piece costs at most the state it is at. */
function cancellable<State>(execution: Execution<State>, cancelled: Int32Array): Execution<State> {
  return {
    states: execution.states,
    stateAt(index) {
      if (Atomics.load(cancelled, 0) !== 0) {
        throw new AssayError('task/cancelled', 'the run was cancelled by its caller')
      }
      return execution.stateAt(index)
    },
  }
}

async function openTask({ module, taskId, input }: WorkerSetup): Promise<OpenTask> {
  const task = await loadTask(module)
  if (task.id !== taskId) {
    throw new AssayError(
      'pool/task-mismatch',
      `expected ${module.export} of ${module.url} to give task ${taskId}, got ${task.id} (${task.name} ${task.version})`,
      { detail: { expected: taskId, found: task.id } },
    )
  }
  return { task, input: task.input.decode(input) }
}

async function loadTask({ url, export: name, args = [] }: WorkerSetup['module']): Promise<AnyTask> {
  let task: unknown
  try {
    const exported: unknown = ((await import(url)) as { readonly [name: string]: unknown })[name]
    task = typeof exported === 'function' ? await exported(...args) : exported
  } catch (cause) {
    if (isTyped(cause)) throw cause
    throw new AssayError('pool/module', `cannot load the task from ${url}: ${reasonOf(cause)}`, { cause })
  }
  if (!isTask(task)) {
    const found = task === undefined ? 'nothing' : typeof task
    throw new AssayError(
      'pool/module',
      `expected ${name} of ${url} to be a task or to return one, got ${found}`,
    )
  }
  return task
}

function isTask(value: unknown): value is AnyTask {
  return typeof value === 'object' && value !== null && 'id' in value && 'open' in value && 'state' in value
}

function serialized(error: unknown): SerializedError {
  if (isTyped(error)) return error.toJSON()
  return new AssayError(
    'pool/crashed',
    `a worker failed outside the task's states: ${reasonOf(error)}`,
  ).toJSON()
}

/** By its name: the task's module may have brought its own copy of the library. */
function isTyped(error: unknown): error is AssayError {
  return error instanceof Error && error.name === 'AssayError' && 'code' in error && 'toJSON' in error
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Marks a reply so that piscina moves its buffers to the pool's thread. */
function moved(value: object, buffers: readonly ArrayBuffer[]): unknown {
  return move({ [transferableSymbol]: buffers, [valueSymbol]: value })
}
