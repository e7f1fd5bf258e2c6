/**
 * One process in which models run, as its parent sees it (the program is inference-process.ts): sends pieces, times
 * them, and tells how each of them ended.
 */
import { fork } from 'node:child_process'
import { AssayError } from 'assay/core/errors'
import type { InferenceReply, InferenceRequest, InferenceResult } from './inference-messages.ts'

/** At least so long may pass where a model is to be opened first: large ones are read and prepared for a while. */
const OPENING_MS = 120_000
/** What nobody waits for any more may go on for so long before its process is killed. */
const ABANDONED_MS = 5_000
/** A process that is told to end and does not is killed. */
const END_MS = 1_000
/** Of the environment a process gets what it needs to run, and no secret. */
const ENVIRONMENT = ['PATH', 'SystemRoot', 'TEMP', 'TMP', 'TMPDIR', 'LD_LIBRARY_PATH'] as const
const PROGRAM = new URL('./inference-process.js', import.meta.url)

export interface Piece {
  /** Which model it needs. */
  readonly name: string
  readonly request: Omit<InferenceRequest, 'id'>
  /** Whether anybody still waits for it. */
  isOpen(): boolean
  done(result: InferenceResult): void
  fail(error: AssayError): void
}

export interface InferenceChild {
  /** Pieces sent and not answered. */
  readonly load: number
  /** Whether it has the model open, or soon will. */
  knows(name: string): boolean
  send(piece: Piece): void
  /** Somebody stopped waiting: what is computed for nobody is given little time. */
  reconsider(): void
  stop(): Promise<void>
}

export interface InferenceChildOptions {
  readonly rowTimeoutMs: number
  /** After each answer. */
  readonly onReply: () => void
  /** When it ended, for whatever reason, with the pieces that it did not get to. */
  readonly onEnd: (child: InferenceChild, left: readonly Piece[]) => void
}

export function startInferenceChild({ rowTimeoutMs, onReply, onEnd }: InferenceChildOptions): InferenceChild {
  const program = fork(PROGRAM, [], {
    env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  /** In the order in which they are computed. */
  const pieces = new Map<number, Piece>()
  let open: readonly string[] = []
  let nextId = 1
  let startedAt = 0
  let timer: NodeJS.Timeout | undefined
  let abandoned: Piece | undefined
  let verdict: AssayError | undefined
  let ended = false

  const kill = () => {
    verdict = new AssayError('work/timeout', `a row took longer than ${rowTimeoutMs} ms`, {
      detail: { limitMs: rowTimeoutMs },
    })
    program.kill('SIGKILL')
  }
  /** Times the piece that is computed now. */
  const watch = () => {
    const [piece] = pieces.values()
    // Once it is abandoned its time runs, whoever else stops waiting.
    if (piece !== undefined && piece === abandoned) return
    clearTimeout(timer)
    if (piece === undefined) return
    if (!piece.isOpen()) abandoned = piece
    const limitMs = open.includes(piece.name) ? rowTimeoutMs : Math.max(rowTimeoutMs, OPENING_MS)
    const leftMs = piece.isOpen() ? limitMs - (performance.now() - startedAt) : ABANDONED_MS
    timer = setTimeout(kill, Math.max(0, leftMs))
  }
  const next = () => {
    startedAt = performance.now()
    watch()
  }
  /** The piece at hand is lost; those behind it are not. */
  const end = (how: string) => {
    if (ended) return
    ended = true
    clearTimeout(timer)
    const [first, ...left] = pieces.values()
    first?.fail(verdict ?? new AssayError('work/crashed', `the process that ran the model ${how}`))
    onEnd(child, left)
  }
  const child: InferenceChild = {
    get load() {
      return pieces.size
    },
    knows: (name) => open.includes(name) || [...pieces.values()].some((piece) => piece.name === name),
    send(piece) {
      const id = nextId++
      pieces.set(id, piece)
      if (pieces.size === 1) next()
      program.send({ id, ...piece.request } satisfies InferenceRequest, (error) => {
        if (error !== null) program.kill('SIGKILL')
      })
    },
    reconsider: watch,
    stop: () => stop(),
  }
  const stop = async () => {
    if (ended) return
    const gone = new Promise((resolve) => program.once('exit', resolve))
    const late = setTimeout(() => program.kill('SIGKILL'), END_MS)
    if (program.connected) program.disconnect()
    await gone
    clearTimeout(late)
  }
  program.on('message', (reply: InferenceReply) => {
    const piece = pieces.get(reply.id)
    pieces.delete(reply.id)
    open = reply.open
    next()
    if ('error' in reply.result) piece?.fail(AssayError.fromJSON(reply.result.error))
    else piece?.done(reply.result)
    onReply()
  })
  program.on('error', (cause) => end(`cannot be started: ${cause.message}`))
  program.on('exit', (code, signal) => end(`ended with ${signal ?? `exit code ${code}`}`))
  return child
}
