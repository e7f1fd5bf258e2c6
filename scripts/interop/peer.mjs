/** Starts a Python script of this folder (peer.py unless told) and asks it: one question, one answer, in order. */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const here = (name) => fileURLToPath(new URL(name, import.meta.url))
const PYTHON = here('../../.venv/bin/python')

/** Makes the Python environment where it is missing. False, with the reason on stderr, when that cannot be. */
export function setUpPython() {
  return spawnSync('sh', [here('setup.sh')], { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0
}

export function openPeer({ python = PYTHON, script = 'peer.py' } = {}) {
  const child = spawn(python, [here(script)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async ask(call, args = {}) {
      child.stdin.write(`${JSON.stringify({ call, arguments: args })}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error(`the Python side ended while it was asked for ${call}`)
      return JSON.parse(value)
    },
    close: () => child.stdin.end(),
  }
}

/** An array of 8-byte elements as the peer reads it. */
export function wire(array) {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64')
}
