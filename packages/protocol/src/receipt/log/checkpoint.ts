/**
 * Checkpoints: the signed head of a transparency log, as C2SP tlog-checkpoint v1.0.0 writes it.
 *
 *     <origin>\n<size>\n<root in base64>\n
 *     \n
 *     — <origin> <signature over the text>
 *     — <origin> <signature over the time and the text>
 *
 * Any program for such logs reads it by the first signature; the second (note.ts) dates it. What a log promises with
 * it: at that time this was the whole log, and whatever it signs later continues it. So size never falls as time goes
 * on; who signs takes the time where the order of appends is made, not from a clock of its own.
 *
 * Threat: checkpoints come from anybody, and from a log that tells one client other things than another.
 */
import { fromBase64, toBase64 } from '../../core/bytes.ts'
import { DIGEST_BYTES, type Digest } from '../../core/digest.ts'
import { AssayError, attempt, reject, type Verdict } from '../../core/errors.ts'
import { describeValue } from '../../core/inspect.ts'
import type { KeyPair, PublicKey, sign, verifySignature } from '../../core/keys.ts'
import { parseNote, signNote, verifyNote } from './note.ts'

/** Who keeps a log: its name, unique, such as `example.com/assay`, and its Ed25519 key. */
export interface LogIdentity {
  readonly origin: string
  readonly publicKey: PublicKey
}

export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Digest
  /** When it was signed, in Unix seconds. */
  readonly timeSeconds: number
}

export interface VerifyLogOptions {
  /** Checks signatures; a service passes a native one. It must be as strict as `verifySignature`. */
  readonly verify?: typeof verifySignature
}

/** The text of a checkpoint, signed. Throws 'log/key' and 'log/malformed'. */
export async function signCheckpoint(
  checkpoint: Checkpoint,
  key: KeyPair,
  options: {
    /** Signs; a service passes a native one. */
    readonly signer?: typeof sign
  } = {},
): Promise<string> {
  const { origin, size, root, timeSeconds } = checkpoint
  for (const [name, value] of Object.entries({ size, timeSeconds })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw malformed(`${name}: expected an integer from 0 to 2^53 - 1, got ${describeValue(value)}`)
    }
  }
  if (root.length !== DIGEST_BYTES)
    throw malformed(`root: expected ${DIGEST_BYTES} bytes, got ${root.length}`)
  const text = `${origin}\n${size}\n${toBase64(root)}\n`
  return signNote(text, { name: origin, key, timeSeconds, ...options })
}

/**
 * The checkpoint that a log signed. Rejects with 'log/malformed', 'log/signature' (of another log, too) and 'log/key';
 * never throws.
 */
export async function verifyCheckpoint(
  signed: unknown,
  log: LogIdentity,
  { verify }: VerifyLogOptions = {},
): Promise<Verdict<Checkpoint>> {
  const read = attempt(() => {
    const note = parseNote(signed)
    return { note, head: parseHead(note.text) }
  })
  if (!read.ok) return read
  const { note, head } = read.value
  if (head.origin !== log.origin) {
    return reject('log/signature', 'the checkpoint is of another log', {
      expected: log.origin,
      got: head.origin,
    })
  }
  const time = await verifyNote(note, { name: log.origin, publicKey: log.publicKey }, verify)
  return time.ok ? { ok: true, value: { ...head, timeSeconds: time.value } } : time
}

/** Lines after the third are opaque extensions: signed, and of no meaning here. */
function parseHead(text: string): Omit<Checkpoint, 'timeSeconds'> {
  const [origin = '', size = '', root = '', ...extensions] = text.slice(0, -1).split('\n')
  if (origin === '' || extensions.includes('')) throw malformed('expected lines that are not empty')
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw malformed(`expected the size in decimal, got ${describeValue(size)}`)
  }
  const decoded = attempt(() => fromBase64(root))
  if (!decoded.ok || decoded.value.length !== DIGEST_BYTES) {
    throw malformed(`expected the root as 32 bytes in base64, got ${describeValue(root)}`)
  }
  return { origin, size: Number(size), root: decoded.value as Digest }
}

function malformed(message: string): AssayError {
  return new AssayError('log/malformed', `checkpoint: ${message}`)
}
