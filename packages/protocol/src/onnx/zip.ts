/**
 * Reads ZIP archives as `.npz` files are: members stored or deflated, no encryption, no spanning.
 *
 * Format: PKWARE APPNOTE 6.3, sections 4.3 and 4.4; inflating is fflate's. Sizes, names and checksums come
 * from the central directory, and every member is checked against them.
 *
 * Threat: zip bombs and damaged archives. The sizes that the directory declares are summed and capped
 * before anything is allocated, no member may unpack to more than it declares, and none may declare more
 * than deflate can reach.
 */
import { inflateSync } from 'fflate'
import { AssayError } from '../core/errors.ts'

/** Members of one archive; a model has a handful of inputs. */
export const MAX_ZIP_MEMBERS = 1024
/** Bytes of a member's name. */
const MAX_ZIP_NAME_BYTES = 1100
/** No deflate stream unpacks to more than 1,032 bytes for each of its own (a 258-byte copy in two bits). */
const MAX_DEFLATE_RATIO = 1032

const END_SIGNATURE = 0x06054b50
const ENTRY_SIGNATURE = 0x02014b50
const LOCAL_SIGNATURE = 0x04034b50
const END_BYTES = 22
const ENTRY_BYTES = 46
const LOCAL_BYTES = 30
const MAX_COMMENT_BYTES = 0xffff
const STORED = 0
const DEFLATED = 8
/** In place of a size or an offset: it stands in a ZIP64 record, which only archives above our caps need. */
const IN_ZIP64 = 0xffffffff

interface ZipEntry {
  readonly name: string
  readonly method: number
  readonly crc: number
  readonly packedBytes: number
  readonly sizeBytes: number
  readonly localOffset: number
}

/**
 * The members by name, in the order of the directory.
 *
 * @throws AssayError `input/malformed`, `input/too-large` (count, or sum of the declared sizes above `maxBytes`).
 */
export function readZip(
  bytes: Uint8Array,
  options: { readonly maxBytes: number },
): ReadonlyMap<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const entries = readDirectory(view)
  const total = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (total > options.maxBytes) {
    throw new AssayError(
      'input/too-large',
      `the archive unpacks to ${total} bytes, above the cap of ${options.maxBytes}: split it`,
      { detail: { total, maxBytes: options.maxBytes } },
    )
  }
  const members = new Map<string, Uint8Array>()
  for (const entry of entries) {
    if (members.has(entry.name)) throw malformed(`member ${JSON.stringify(entry.name)} comes twice`)
    members.set(entry.name, readMember(view, entry))
  }
  return members
}

function readDirectory(view: DataView): ZipEntry[] {
  const end = findEnd(view)
  const count = view.getUint16(end + 10, true)
  let offset = view.getUint32(end + 16, true)
  if (view.getUint16(end + 8, true) !== count) throw malformed('archives in several volumes are not read')
  if (count > MAX_ZIP_MEMBERS) {
    throw new AssayError(
      'input/too-large',
      `the archive has ${count} members, at most ${MAX_ZIP_MEMBERS} are read`,
    )
  }
  const entries: ZipEntry[] = []
  for (let i = 0; i < count; i++) {
    if (offset + ENTRY_BYTES > end || view.getUint32(offset, true) !== ENTRY_SIGNATURE) {
      throw malformed(`directory entry ${i} is missing or truncated`)
    }
    const { entry, next } = readEntry(view, offset)
    if (next > end) throw malformed(`directory entry ${i} is truncated`)
    entries.push(entry)
    offset = next
  }
  return entries
}

function findEnd(view: DataView): number {
  const last = view.byteLength - END_BYTES
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT_BYTES); at--) {
    if (view.getUint32(at, true) === END_SIGNATURE && view.getUint16(at + 20, true) === last - at) return at
  }
  throw malformed('the end of the archive is missing: it is truncated, or not a ZIP file')
}

function readEntry(view: DataView, offset: number): { entry: ZipEntry; next: number } {
  const nameBytes = view.getUint16(offset + 28, true)
  const next =
    offset + ENTRY_BYTES + nameBytes + view.getUint16(offset + 30, true) + view.getUint16(offset + 32, true)
  if (nameBytes === 0 || nameBytes > MAX_ZIP_NAME_BYTES) {
    throw malformed(`expected member names of 1 to ${MAX_ZIP_NAME_BYTES} bytes, got ${nameBytes}`)
  }
  if ((view.getUint16(offset + 8, true) & 1) !== 0) throw malformed('encrypted members are not read')
  if (next > view.byteLength) throw malformed('a directory entry is truncated')
  const entry: ZipEntry = {
    name: readName(view, offset + ENTRY_BYTES, nameBytes),
    method: view.getUint16(offset + 10, true),
    crc: view.getUint32(offset + 16, true),
    packedBytes: view.getUint32(offset + 20, true),
    sizeBytes: view.getUint32(offset + 24, true),
    localOffset: view.getUint32(offset + 42, true),
  }
  if (entry.sizeBytes === IN_ZIP64 || entry.packedBytes === IN_ZIP64 || entry.localOffset === IN_ZIP64) {
    throw new AssayError(
      'input/too-large',
      `member ${JSON.stringify(entry.name)} needs ZIP64: it is above 4 GiB`,
    )
  }
  return { entry, next }
}

function readName(view: DataView, offset: number, length: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(
      new Uint8Array(view.buffer, view.byteOffset + offset, length),
    )
  } catch (cause) {
    throw malformed('a member name is not UTF-8', cause)
  }
}

function readMember(view: DataView, entry: ZipEntry): Uint8Array {
  const { localOffset: at, packedBytes, sizeBytes, method } = entry
  const label = JSON.stringify(entry.name)
  if (at + LOCAL_BYTES > view.byteLength || view.getUint32(at, true) !== LOCAL_SIGNATURE) {
    throw malformed(`member ${label} does not start where the directory says`)
  }
  const start = at + LOCAL_BYTES + view.getUint16(at + 26, true) + view.getUint16(at + 28, true)
  if (start + packedBytes > view.byteLength) throw malformed(`member ${label} is truncated`)
  const packed = new Uint8Array(view.buffer, view.byteOffset + start, packedBytes)
  if (method !== STORED && method !== DEFLATED) {
    throw malformed(`member ${label} uses compression method ${method}; expected stored or deflated`)
  }
  const member = method === STORED ? packed : inflate(packed, { sizeBytes, label })
  if (member.length !== sizeBytes) {
    throw malformed(`member ${label} unpacks to another size than the declared ${sizeBytes} bytes`)
  }
  if (crc32(member) !== entry.crc) throw malformed(`member ${label} does not match its checksum`)
  return member
}

function inflate(
  packed: Uint8Array,
  { sizeBytes, label }: { readonly sizeBytes: number; readonly label: string },
): Uint8Array {
  if (sizeBytes > packed.length * MAX_DEFLATE_RATIO) {
    throw malformed(`member ${label} declares ${sizeBytes} bytes, more than its ${packed.length} can hold`)
  }
  try {
    // One byte more than declared: a longer stream is then seen, and cut there.
    return inflateSync(packed, { out: new Uint8Array(sizeBytes + 1) })
  } catch (cause) {
    throw malformed(`member ${label} is not a deflate stream`, cause)
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value
})

/** CRC-32 of ISO 3309, as ZIP uses it. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

function malformed(message: string, cause?: unknown): AssayError {
  return new AssayError('input/malformed', `not a valid .npz archive: ${message}`, { cause })
}
