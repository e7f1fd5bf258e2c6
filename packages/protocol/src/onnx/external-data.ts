/**
 * Models whose weights are in other files, made into one file: the weights are read through the caller and
 * put in, so that the bytes, and with them the content address, hold everything that is computed.
 *
 * Format: onnx.proto, TensorProto.external_data (`location`, `offset`, `length`; others do not matter here).
 * Initialisers of the main graph are read; tensors elsewhere stay external, and `loadModel` refuses them.
 *
 * Threat: hostile models that name files which they should not see, or more bytes than there are. A location
 * is a relative path of plain segments below the model's folder; the length must be what dimensions and type
 * demand; and nothing is read beyond the cap.
 */
import { concatBytes, utf8 } from '../core/bytes.ts'
import { AssayError } from '../core/errors.ts'
import { dtypeBytes } from '../state/tensor.ts'
import { MAX_MODEL_BYTES } from './limits.ts'
import { fieldsOf, integersOf, lengthField, type RawField } from './proto-bytes.ts'
import { dtypeOf } from './tensor-proto.ts'
import { assertProtoWire } from './wire-scan.ts'

/** Reads `length` bytes from `offset` of the file at `location`, a relative path with '/' between its segments. */
export type ExternalReader = (
  location: string,
  range: { readonly offset: number; readonly length: number },
) => Uint8Array | Promise<Uint8Array>

const MODEL = { graph: 7 } as const
const GRAPH = { initializer: 5 } as const
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9, externalData: 13, dataLocation: 14 } as const
const ENTRY = { key: 1, value: 2 } as const
const EXTERNAL = 1
/** Longest location: what file systems allow. */
const MAX_LOCATION = 4096

/**
 * The model with its external initialisers inside; the same bytes where it has none.
 *
 * @param options.maxBytes cap on the result, 512 MiB by default.
 * @throws AssayError `onnx/external-data` for a location, range or reader that is wrong, `onnx/too-large`,
 * `onnx/malformed`.
 */
export async function inlineExternalData(
  bytes: Uint8Array,
  read: ExternalReader,
  options: { readonly maxBytes?: number } = {},
): Promise<Uint8Array> {
  const { maxBytes = MAX_MODEL_BYTES } = options
  if (bytes.length > maxBytes) throw tooLarge(bytes.length, maxBytes)
  assertProtoWire(bytes, 'ModelProto')
  let total = bytes.length
  const admit = (length: number): void => {
    total += length
    if (total > maxBytes) throw tooLarge(total, maxBytes)
  }
  const model: Uint8Array[] = []
  let changed = false
  for (const field of fieldsOf(bytes)) {
    if (field.field !== MODEL.graph) {
      model.push(field.whole)
      continue
    }
    const graph: Uint8Array[] = []
    for (const part of fieldsOf(field.value)) {
      const external = part.field === GRAPH.initializer && isExternal(part.value)
      graph.push(external ? await inlined(part.value, read, admit) : part.whole)
      changed ||= external
    }
    model.push(lengthField(MODEL.graph, ...graph))
  }
  return changed ? concatBytes(...model) : bytes
}

function isExternal(tensor: Uint8Array): boolean {
  return integersOf(tensor, TENSOR.dataLocation).at(-1) === EXTERNAL
}

/** The initialiser with its data as raw_data, as an encoded field. */
async function inlined(
  tensor: Uint8Array,
  read: ExternalReader,
  admit: (length: number) => void,
): Promise<Uint8Array> {
  const fields = [...fieldsOf(tensor)]
  const label = `initialiser ${JSON.stringify(text(fields.findLast(({ field }) => field === TENSOR.name)?.value))}`
  const { location, offset, length } = rangeOf(tensor, fields, label)
  admit(length)
  const data = length === 0 ? new Uint8Array() : await read(location, { offset, length })
  if (!(data instanceof Uint8Array) || data.length !== length) {
    throw external(`${label}: expected ${length} bytes from ${JSON.stringify(location)}, got ${data?.length}`)
  }
  const dropped: readonly number[] = [TENSOR.rawData, TENSOR.externalData, TENSOR.dataLocation]
  const kept = fields.filter(({ field }) => !dropped.includes(field)).map(({ whole }) => whole)
  return lengthField(GRAPH.initializer, ...kept, lengthField(TENSOR.rawData, data))
}

interface ExternalRange {
  readonly location: string
  readonly offset: number
  readonly length: number
}

function rangeOf(tensor: Uint8Array, fields: readonly RawField[], label: string): ExternalRange {
  const entries = new Map<string, string>()
  for (const { field, value } of fields) {
    if (field !== TENSOR.externalData) continue
    const pair = new Map(Array.from(fieldsOf(value), (part) => [part.field, text(part.value)]))
    entries.set(pair.get(ENTRY.key) ?? '', pair.get(ENTRY.value) ?? '')
  }
  const location = entries.get('location') ?? ''
  if (!isPlainPath(location)) {
    throw external(
      `${label}: expected a relative path below the model's folder, got ${JSON.stringify(location.slice(0, 200))}`,
    )
  }
  const dtype = dtypeOf(integersOf(tensor, TENSOR.dataType).at(-1) ?? 0)
  const width = dtype === undefined ? 0 : (dtypeBytes(dtype) ?? 0)
  if (width === 0) throw external(`${label}: data of its type cannot be in another file`)
  const length = integersOf(tensor, TENSOR.dims).reduce((product, size) => product * size, width)
  const announced = entries.get('length')
  if (!Number.isSafeInteger(length) || (announced !== undefined && announced !== String(length))) {
    throw external(`${label}: its dimensions need ${length} bytes, its entry says ${announced}`)
  }
  const offset = Number(entries.get('offset') ?? '0')
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw external(`${label}: expected an offset that is an integer >= 0, got ${entries.get('offset')}`)
  }
  return { location, offset, length }
}

/** No root, drive, parent, empty segment or character that some system gives a meaning. */
function isPlainPath(location: string): boolean {
  if (location.length === 0 || location.length > MAX_LOCATION || hasControl(location)) return false
  if (/[\\:*?"<>|]/.test(location)) return false
  return location.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
}

function hasControl(location: string): boolean {
  return utf8(location).some((byte) => byte < 32 || byte === 127)
}

function text(value: Uint8Array | undefined): string {
  return value === undefined ? '' : new TextDecoder().decode(value)
}

function external(message: string): AssayError {
  return new AssayError('onnx/external-data', message)
}

function tooLarge(bytes: number, maxBytes: number): AssayError {
  return new AssayError(
    'onnx/too-large',
    `the model with its external data has ${bytes} bytes or more, above the cap of ${maxBytes}: raise maxBytes if that is meant`,
    { detail: { bytes, maxBytes } },
  )
}
