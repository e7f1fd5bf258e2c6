/** A connection that can be cut, held and delayed: what networks do, between a client and a real server. */
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** Bytes go on in pieces of that size, each after that time. */
export interface Pace {
  readonly pieceBytes: number
  readonly delayMs: number
}

export interface TcpProxy {
  readonly port: number
  /** Goes on with another server: where the old one came back at another port. */
  retarget(port: number): void
  /** Slows everything down, in both directions; null is as fast as it goes. */
  slow(pace: Pace | null): void
  /** Ends every connection at once, as a peer that crashes. New ones are served. */
  cut(): void
  /** Swallows everything without a word, as a cable that was pulled; new connections stay without an answer. */
  hold(): void
  /** Lets new connections through; those that were held stay dead. */
  open(): void
  /** Lets everything through again; what was swallowed meanwhile is lost, so held connections are cut. */
  release(): void
  /** Takes no new connections, and cuts those that are there, until `release`. */
  refuse(): void
  close(): Promise<void>
}

export async function tcpProxy(target: { readonly host?: string; readonly port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let mode: 'open' | 'held' | 'refusing' = 'open'
  let pace: Pace | null = null
  let targetPort = target.port
  const dead = new WeakSet<Socket>()
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  const isDead = (socket: Socket) => mode === 'held' || dead.has(socket)
  const server = createServer((down) => {
    if (mode === 'refusing') return void down.destroy()
    const up = connect(targetPort, target.host ?? '127.0.0.1')
    for (const [from, to] of [
      [down, up],
      [up, down],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      // Everything goes through one line, so that nothing overtakes what is slow.
      let waiting = 0
      let line: Promise<void> | undefined
      const inLine = (send: () => Promise<void> | void) => {
        if (line === undefined && pace === null) return void send()
        waiting++
        line = (line ?? Promise.resolve()).then(send).then(() => {
          waiting--
          if (waiting > 0) return
          line = undefined
          from.resume()
        })
        from.pause()
      }
      from.on('data', (chunk: Buffer) => {
        inLine(() => (pace === null ? pass(chunk) : trickle(chunk)))
      })
      const pass = (chunk: Buffer) => {
        if (!isDead(from)) to.write(chunk)
      }
      const trickle = async (chunk: Buffer) => {
        for (let at = 0; at < chunk.length; ) {
          const { pieceBytes, delayMs } = pace ?? { pieceBytes: chunk.length, delayMs: 0 }
          if (delayMs > 0) await pause(delayMs)
          if (to.destroyed) return
          pass(chunk.subarray(at, at + pieceBytes))
          at += pieceBytes
        }
      }
      from.on('error', () => undefined)
      from.on('end', () => {
        inLine(() => {
          if (!isDead(from)) to.end()
        })
      })
      from.on('close', () => {
        sockets.delete(from)
        inLine(() => {
          if (!isDead(from)) to.destroy()
        })
      })
    }
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    retarget: (port) => {
      targetPort = port
    },
    slow: (next) => {
      pace = next
    },
    cut,
    hold: () => {
      mode = 'held'
    },
    open: () => {
      if (mode === 'held') for (const socket of sockets) dead.add(socket)
      mode = 'open'
    },
    release: () => {
      mode = 'open'
      cut()
    },
    refuse: () => {
      mode = 'refusing'
      cut()
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        mode = 'open'
        pace = null
        cut()
      }),
  }
}
