/** For tests: damage to encoded bytes. */
import { concatBytes } from '../bytes.ts'

/** `bytes` with one byte changed, one removed, one doubled. */
export function mutants(bytes: Uint8Array, at: number, flip: number): Uint8Array[] {
  const i = at % bytes.length
  const flipped = bytes.slice()
  flipped[i] = (flipped[i] as number) ^ flip
  const head = bytes.subarray(0, i)
  return [
    flipped,
    concatBytes(head, bytes.subarray(i + 1)),
    concatBytes(head, bytes.subarray(i, i + 1), bytes.subarray(i)),
  ]
}
