/** Random mutations of bytes, drawn from a stream, for the campaigns of every folder. */
import { type RandomStream, uniformInteger } from '../sampling.ts'

/** Flips a bit, cuts, extends, repeats, overwrites or swaps; never gives the same bytes back. */
export function mutateBytes(bytes: Uint8Array, stream: RandomStream): Uint8Array {
  const at = uniformInteger(stream, bytes.length)
  switch (uniformInteger(stream, 5)) {
    case 0: {
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << uniformInteger(stream, 8))
      return flipped
    }
    case 1:
      return bytes.slice(0, at)
    case 2: {
      const extended = new Uint8Array(bytes.length + 1 + uniformInteger(stream, 40))
      extended.set(bytes)
      return extended
    }
    case 3: {
      const changed = bytes.slice()
      changed[at] = ((changed[at] as number) + 1 + uniformInteger(stream, 255)) & 255
      return changed
    }
    default: {
      const hostile = bytes.slice()
      const length = Math.min(8, bytes.length - at)
      for (let i = 0; i < length; i++) hostile[at + i] = 255
      return hostile.every((byte, i) => byte === bytes[i]) ? bytes.slice(1) : hostile
    }
  }
}
