/** A connection that can be cut, held and delayed: what networks do, between a client and a real server. */
import { connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
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
  const dead = new WeakSet<Socket>()
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  const isDead = (socket: Socket) => mode === 'held' || dead.has(socket)
  const server = createServer((down) => {
    if (mode === 'refusing') return void down.destroy()
    const up = connect(target.port, target.host ?? '127.0.0.1')
    for (const [from, to] of [
      [down, up],
      [up, down],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('data', (chunk) => {
        if (!isDead(from)) to.write(chunk)
      })
      from.on('error', () => undefined)
      from.on('end', () => {
        if (!isDead(from)) to.end()
      })
      from.on('close', () => {
        sockets.delete(from)
        if (!isDead(from)) to.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
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
        cut()
      }),
  }
}
