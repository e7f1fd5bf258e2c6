/**
 * Signed notes (C2SP signed-note v1.0.0): a text, an empty line, and lines that sign the text.
 *
 *     — <key name> <base64 of key id (4 bytes) ‖ signature>
 *     key id = first 4 bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key)
 *
 * Two types of signature are used here: 0x01, Ed25519 over the text, and 0x04, the timestamped cosignature of C2SP
 * tlog-cosignature v1, an Ed25519 signature over "cosignature/v1\ntime <Unix seconds>\n" and the text, with the time
 * as eight bytes before it.
 *
 * Threat: notes come from anybody. Size, characters and number of lines are bounded before anything is decoded;
 * signatures by unknown keys are left alone, as the specification demands (witnesses may add some).
 */
import { concatBytes, equalBytes, fromBase64, toBase64, u64be, utf8 } from '../../core/bytes.ts'
import { sha256 } from '../../core/digest.ts'
import { AssayError, attempt, reject, type Verdict } from '../../core/errors.ts'
import { describeValue } from '../../core/inspect.ts'
import { type KeyPair, type PublicKey, sign, verifySignature } from '../../core/keys.ts'

/** Sixteen signatures, which every reader must take, of up to 5 kB (post-quantum witnesses) in base64. */
export const MAX_NOTE_LENGTH = 2 ** 17
export const MAX_NOTE_SIGNATURES = 32
const MAX_NAME_LENGTH = 255

export const NOTE_TYPES = { ed25519: 1, cosignature: 4 } as const
export type NoteType = keyof typeof NOTE_TYPES

const KEY_ID_BYTES = 4
const TIME_BYTES = 8
const SIGNATURE_LINE = /^— ([^ ]+) ([A-Za-z0-9+/]+={0,2})$/u
/** Control characters other than newline, and halves of characters, which have no UTF-8. */
const FORBIDDEN = /\p{Cs}|(?!\n)\p{Cc}/u

/** Who signs, or should have: a name and an Ed25519 key. */
export interface NoteKey {
  readonly name: string
  readonly publicKey: PublicKey
}

export interface Note {
  /** With its last newline; not yet trusted. */
  readonly text: string
  readonly signatures: readonly { readonly name: string; readonly bytes: Uint8Array }[]
}

/** Throws 'log/key' for a name that notes cannot carry, or another kind of key. */
export function assertNoteKey({ name, publicKey }: NoteKey): void {
  if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH || !/^[^\s+\p{Cc}\p{Cs}]+$/u.test(name)) {
    throw new AssayError(
      'log/key',
      `expected a name of 1 to ${MAX_NAME_LENGTH} characters without spaces and plus signs, got ${describeValue(name)}`,
    )
  }
  if (publicKey?.type !== 'ed25519' || publicKey.bytes.length !== 32) {
    throw new AssayError('log/key', 'expected an Ed25519 key of 32 bytes: signed notes know no RSA')
  }
}

export function noteKeyId({ name, publicKey }: NoteKey, type: NoteType): Uint8Array {
  const hash = sha256(concatBytes(utf8(`${name}\n`), Uint8Array.of(NOTE_TYPES[type]), publicKey.bytes))
  return hash.slice(0, KEY_ID_BYTES)
}

/** The text form of a key, as other programs read it: `name+key id+base64 of type ‖ key`. Throws 'log/key'. */
export function formatNoteKey(key: NoteKey, type: NoteType): string {
  assertNoteKey(key)
  const id = [...noteKeyId(key, type)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  const material = concatBytes(Uint8Array.of(NOTE_TYPES[type]), key.publicKey.bytes)
  return `${key.name}+${id}+${toBase64(material)}`
}

/**
 * The note over `text` (which ends with a newline) with both signatures of `key`: the plain one, which every program
 * knows, and the cosignature, which dates it. `signer` signs; a service passes a native one.
 */
export async function signNote(
  text: string,
  options: {
    readonly name: string
    readonly key: KeyPair
    readonly timeSeconds: number
    readonly signer?: typeof sign
  },
): Promise<string> {
  const { name, key, timeSeconds, signer = sign } = options
  const noteKey = { name, publicKey: key.publicKey }
  assertNoteKey(noteKey)
  const plain = concatBytes(noteKeyId(noteKey, 'ed25519'), await signer(key, utf8(text)))
  const dated = concatBytes(
    noteKeyId(noteKey, 'cosignature'),
    u64be(timeSeconds),
    await signer(key, cosigned(text, timeSeconds)),
  )
  return `${text}\n${[plain, dated].map((bytes) => `— ${name} ${toBase64(bytes)}\n`).join('')}`
}

/** Strict; throws 'log/malformed'. */
export function parseNote(note: unknown): Note {
  if (typeof note !== 'string' || note.length > MAX_NOTE_LENGTH) {
    throw malformed(`expected a text of at most ${MAX_NOTE_LENGTH} characters, got ${describeValue(note)}`)
  }
  if (FORBIDDEN.test(note)) throw malformed('expected no control characters but newlines')
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.endsWith('\n')) {
    throw malformed('expected a text, an empty line and lines with signatures')
  }
  const lines = note.slice(end + 2, -1).split('\n')
  if (lines.length > MAX_NOTE_SIGNATURES) {
    throw malformed(`expected at most ${MAX_NOTE_SIGNATURES} signatures, got ${lines.length}`)
  }
  return { text: note.slice(0, end + 1), signatures: lines.map(parseLine) }
}

function parseLine(line: string): Note['signatures'][number] {
  const match = SIGNATURE_LINE.exec(line)
  const decoded = attempt(() => fromBase64(match?.[2] ?? '='))
  if (match === null || !decoded.ok || decoded.value.length <= KEY_ID_BYTES) {
    throw malformed('expected signatures as "— name base64"')
  }
  return { name: match[1] as string, bytes: decoded.value }
}

/**
 * The time, in Unix seconds, at which `key` signed the note; both of its signatures must be there, once, and hold.
 * Rejects with 'log/key', 'log/signature'; never throws for a note.
 */
export async function verifyNote(
  note: Note,
  key: NoteKey,
  verify: typeof verifySignature = verifySignature,
): Promise<Verdict<number>> {
  const usable = attempt(() => assertNoteKey(key))
  if (!usable.ok) return usable
  const plain = only(note, key, 'ed25519')
  const dated = only(note, key, 'cosignature')
  if (plain === undefined || dated === undefined || dated.length < TIME_BYTES) {
    return reject('log/signature', `expected one plain and one dated signature of ${key.name}`, {
      name: key.name,
    })
  }
  const time = new DataView(dated.buffer, dated.byteOffset).getBigUint64(0)
  if (time > BigInt(Number.MAX_SAFE_INTEGER)) {
    return reject('log/signature', `expected a time below 2^53 seconds, got ${time}`)
  }
  const timeSeconds = Number(time)
  const checks = [
    [utf8(note.text), plain],
    [cosigned(note.text, timeSeconds), dated.slice(TIME_BYTES)],
  ] as const
  for (const [message, signature] of checks) {
    const verified = await verify(key.publicKey, message, signature)
    if (!verified.ok)
      return reject('log/signature', verified.message, { cause: verified.code, name: key.name })
  }
  return { ok: true, value: timeSeconds }
}

/** What follows the key id in the one line of this key and type. */
function only({ signatures }: Note, key: NoteKey, type: NoteType): Uint8Array | undefined {
  const id = noteKeyId(key, type)
  const own = signatures.filter(
    ({ name, bytes }) => name === key.name && equalBytes(bytes.subarray(0, KEY_ID_BYTES), id),
  )
  return own.length === 1 ? own[0]?.bytes.slice(KEY_ID_BYTES) : undefined
}

function cosigned(text: string, timeSeconds: number): Uint8Array {
  return utf8(`cosignature/v1\ntime ${timeSeconds}\n${text}`)
}

function malformed(message: string): AssayError {
  return new AssayError('log/malformed', `signed note: ${message}`)
}
