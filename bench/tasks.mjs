/** The tasks that bench/workers.mjs spreads over threads. */
import { sha256 } from 'assay/core/digest'
import { integerState } from 'assay/state/integer'
import { valueCodec } from 'assay/state/value'
import { defineTask } from 'assay/task/define'
import { derivedFrom } from 'assay/task/output'

const input = valueCodec({ name: 'bench-input' })
const output = derivedFrom(valueCodec({ name: 'bench-output' }), (states) => states.length)

/** States that cost a fraction of a millisecond each: the period of a small generator. */
export function heavy() {
  return defineTask({
    name: 'bench-heavy',
    version: '1',
    shape: 'parallel',
    input,
    state: integerState(),
    count: ({ states }) => states,
    compute: ({ seed }, index) => {
      let x = (seed + index) >>> 0
      for (let i = 0; i < 100_000; i++) {
        x ^= x << 13
        x ^= x >>> 17
        x ^= x << 5
      }
      return BigInt(x >>> 0)
    },
    output,
  })
}

/** Integers that cost some microseconds each: the first 64 bits of a hash in plain JavaScript. */
export function integers() {
  return defineTask({
    name: 'bench-integers',
    version: '1',
    shape: 'parallel',
    input,
    state: integerState(),
    count: ({ states }) => states,
    compute: ({ seed }, index) => {
      const message = new Uint8Array(8)
      const view = new DataView(message.buffer)
      view.setUint32(0, seed)
      view.setUint32(4, index)
      return new DataView(sha256(message).buffer).getBigInt64(0)
    },
    output,
  })
}

/** States that cost next to nothing: what remains is encoding, hashing, sending and inserting them. */
export function light() {
  return defineTask({
    name: 'bench-light',
    version: '1',
    shape: 'parallel',
    input,
    state: integerState(),
    count: ({ states }) => states,
    compute: ({ seed }, index) => BigInt(seed) * 1_000_003n + BigInt(index),
    output,
  })
}

/** States whose work can be left out without changing them, or the task's id. */
export function paced({ work }) {
  const value = ({ seed }, index) => BigInt(seed) * 1_000_003n + BigInt(index)
  const slow = heavy()
  const execution = (given) => slow.open(given)
  return defineTask({
    name: 'bench-paced',
    version: '1',
    shape: 'parallel',
    input,
    state: integerState(),
    count: ({ states }) => states,
    compute: (given, index) => {
      if (work) execution(given).stateAt(index)
      return value(given, index)
    },
    output,
  })
}
