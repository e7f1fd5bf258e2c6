/**
 * The least of an HTTP client: requests over connections that stay open, one at a time on each. A load generator on
 * the machine that it loads must cost little; fetch costs more than the server that it asks.
 */
import { connect } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')

/** `request(text)` sends a whole request and gives `{ status, body }`; it waits for a connection that is free. */
export function openConnections(url, most) {
  const { hostname, port } = new URL(url)
  const idle = []
  const waiting = []
  const all = new Set()
  const open = async () => {
    const connection = openOne({ hostname, port, onClose: () => all.delete(connection) })
    all.add(connection)
    await connection.opened
    return connection
  }
  /** One that the server has not closed meanwhile, as it does with those that say nothing for some seconds. */
  const take = () => {
    for (let known = idle.pop(); known !== undefined; known = idle.pop()) if (all.has(known)) return known
    return all.size < most ? open() : new Promise((resolve) => waiting.push(resolve))
  }
  return {
    async request(bytes) {
      const connection = await take()
      try {
        return await connection.request(bytes)
      } finally {
        const next = waiting.shift()
        if (next === undefined) idle.push(connection)
        else next(all.has(connection) ? connection : open())
      }
    },
    close() {
      for (const { close } of [...all]) close()
    },
  }
}

function openOne({ hostname, port, onClose }) {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  let chunks = Buffer.alloc(0)
  let pending
  const opened = new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  socket.on('close', () => {
    onClose()
    pending?.reject(new Error('the connection was closed'))
  })
  socket.on('data', (chunk) => {
    // Nobody asked: the server says that it closes.
    if (pending === undefined) return void socket.destroy()
    chunks = chunks.length === 0 ? chunk : Buffer.concat([chunks, chunk])
    const at = chunks.indexOf(HEAD_END)
    if (at < 0) return
    const head = chunks.toString('latin1', 0, at)
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1])
    if (Number.isNaN(length)) return void socket.destroy()
    if (chunks.length < at + 4 + length) return
    const answer = { status: Number(head.slice(9, 12)), body: chunks.subarray(at + 4, at + 4 + length) }
    chunks = Buffer.alloc(0)
    const { resolve } = pending
    pending = undefined
    resolve(answer)
  })
  const request = (bytes) =>
    new Promise((resolve, reject) => {
      pending = { resolve, reject }
      socket.write(bytes)
    })
  return { opened, request, close: () => socket.destroy() }
}

/** A request as bytes. */
export function requestText({ method = 'POST', path, headers = {}, body = '' }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const length = Buffer.byteLength(body)
  return `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${lines.join('')}content-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`
}
