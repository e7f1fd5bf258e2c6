/** Peers that do not speak as they should: sockets that send what they are told, slowly or without end. */
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'

/** Between two bytes of a slow peer: often enough to be no idle connection. */
const BYTE_MS = 250
/** More than any service takes in before it refuses. */
const ENDLESS_BYTES = 2 ** 28

export interface Peer {
  readonly socket: Socket
  /** What came back, once the other side has closed. */
  readonly closed: Promise<string>
  sentBytes(): number
}

export interface Said {
  readonly method: string
  readonly path: string
  readonly headers?: { readonly [name: string]: string }
}

/** The head of a request, up to where its body begins. */
export function headOf({ method, path, headers = {} }: Said): string {
  const lines = Object.entries({ host: 'coordinator', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

function open(url: string): { readonly socket: Socket; readonly closed: Promise<string> } {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  // A peer that is cut off sees a reset.
  socket.on('error', () => undefined)
  return { socket, closed: new Promise((resolve) => socket.on('close', () => resolve(text))) }
}

/** Says the beginning, and then one byte after the other. */
export function slowPeer(url: string, beginning: string): Peer {
  const { socket, closed } = open(url)
  let sent = 0
  socket.write(beginning)
  const timer = setInterval(() => {
    if (socket.writable) socket.write('a')
    sent++
  }, BYTE_MS)
  closed.then(() => clearInterval(timer))
  return { socket, closed, sentBytes: () => sent }
}

/** Says the beginning, and then one piece after the other, as fast as they are taken. */
export function endlessPeer(url: string, beginning: string, piece: Buffer): Peer {
  const { socket, closed } = open(url)
  let sent = 0
  const send = () => {
    while (socket.writable && sent < ENDLESS_BYTES) {
      sent += piece.length
      if (!socket.write(piece)) return void socket.once('drain', send)
    }
    socket.end()
  }
  socket.write(beginning)
  send()
  return { socket, closed, sentBytes: () => sent }
}

/** Memory of a process; 0 where the system does not say. */
export function residentBytes(pid: number): number {
  try {
    const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kib) * 1024
  } catch {
    return 0
  }
}
