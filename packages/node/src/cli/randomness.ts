/**
 * Where the command line takes its random numbers from: the machine, or a text that gives the same ones again.
 */
import { randomBytes } from 'node:crypto'
import { utf8 } from 'assay/core/bytes'
import { type Digest, hashFields } from 'assay/core/digest'

export function randomBytes32(): Uint8Array {
  return new Uint8Array(randomBytes(32))
}

/** 32 bytes that `text` gives for the use that `purpose` names: the same ones every time. */
export function seedFromText(text: string, purpose: string): Digest {
  return hashFields('assay/cli-seed/v1', [utf8(purpose), utf8(text)])
}
