/**
 * NumPy's `.npz` files: a ZIP archive with one `.npy` member for each named array.
 *
 * Format: `numpy.savez` and `numpy.savez_compressed` in the NumPy reference.
 */
import { zipSync } from 'fflate'
import { AssayError } from '../core/errors.ts'
import type { Tensor } from '../state/tensor.ts'
import { MAX_NAME_BYTES, type NamedTensors } from '../state/tensors.ts'
import { MAX_INPUT_BYTES } from './limits.ts'
import { decodeNpy, encodeNpy } from './npy.ts'
import { readZip } from './zip.ts'

const SUFFIX = '.npy'
/** ZIP wants a date; a fixed one makes equal arrays equal files. In local time, as fflate reads it. */
const EPOCH = new Date(1980, 0, 1)

/**
 * The arrays by name. `maxBytes` bounds the file and, apart from it, all that it unpacks to.
 *
 * @throws AssayError `input/malformed`, `input/unsupported-type`, `input/too-large`; messages name the member.
 */
export function decodeNpz(bytes: Uint8Array, options: { readonly maxBytes?: number } = {}): NamedTensors {
  const { maxBytes = MAX_INPUT_BYTES } = options
  if (bytes.length > maxBytes) {
    throw new AssayError(
      'input/too-large',
      `an archive of ${bytes.length} bytes is above the cap of ${maxBytes}`,
    )
  }
  const tensors: [string, Tensor][] = []
  for (const [member, content] of readZip(bytes, { maxBytes })) {
    const name = member.endsWith(SUFFIX) ? member.slice(0, -SUFFIX.length) : ''
    if (name === '' || name.length > MAX_NAME_BYTES) {
      throw new AssayError(
        'input/malformed',
        `expected members named NAME.npy in the archive, got ${JSON.stringify(member)}`,
      )
    }
    tensors.push([name, decodeMember(member, content)])
  }
  return Object.fromEntries(tensors)
}

/** What `numpy.load` reads. `compress` deflates the members; equal tensors in equal order give equal bytes. */
export function encodeNpz(tensors: NamedTensors, options: { readonly compress?: boolean } = {}): Uint8Array {
  const level = options.compress === true ? 6 : 0
  const members: { [name: string]: Uint8Array } = {}
  for (const [name, value] of Object.entries(tensors)) members[`${name}${SUFFIX}`] = encodeNpy(value)
  return zipSync(members, { level, mtime: EPOCH })
}

function decodeMember(member: string, content: Uint8Array): Tensor {
  try {
    return decodeNpy(content)
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError(error.code, `${member}: ${error.message}`, { detail: error.detail, cause: error })
  }
}
