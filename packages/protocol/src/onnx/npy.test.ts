import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '../core/bytes.ts'
import { AssayError, attempt } from '../core/errors.ts'
import { type Dtype, equalTensors, type Tensor, tensor } from '../state/tensor.ts'
import { decodeNpy, encodeNpy } from './npy.ts'
import { decodeNpz, encodeNpz } from './npz.ts'
import { anyTensor } from './testing/tensors.ts'

interface Case {
  readonly name: string
  readonly file: string
  readonly dtype: Dtype
  readonly shape: number[]
  readonly data: (number | string | boolean)[]
}

const vectors = JSON.parse(
  readFileSync(new URL('../../../../vectors/numpy-files.json', import.meta.url), 'utf8'),
) as {
  npy: Case[]
  converted: Case[]
  refused: { [name: string]: string }
  npz: { stored: string; deflated: string }
}

function texts({ data, dtype }: Tensor): string[] {
  return Array.from<unknown, string>(data, (x) => String(dtype === 'bool' ? x === 1 : x))
}

function codeOf(run: () => unknown): string {
  const verdict = attempt(run)
  return verdict.ok ? 'accepted' : verdict.code
}

/** A version 1.0 file with this header and body. */
function withHeader(header: string, body: Uint8Array = new Uint8Array()): Uint8Array {
  const text = utf8(header)
  return Uint8Array.of(0x93, ...utf8('NUMPY'), 1, 0, text.length & 255, text.length >> 8, ...text, ...body)
}

describe('files that NumPy wrote', () => {
  test.each([...vectors.npy, ...vectors.converted])('$name', ({ file, dtype, shape, data }) => {
    const decoded = decodeNpy(fromHex(file))
    expect({ dtype: decoded.dtype, shape: decoded.shape }).toEqual({ dtype, shape })
    expect(texts(decoded)).toEqual(data.map(String))
  })

  test.each(vectors.npy)('$name is written as NumPy writes it', ({ file }) => {
    expect(toHex(encodeNpy(decodeNpy(fromHex(file))))).toBe(file)
  })

  test.each(Object.entries(vectors.refused))('%s are refused by name', (_, file) => {
    expect(codeOf(() => decodeNpy(fromHex(file)))).toBe('input/unsupported-type')
  })

  test('archives, stored and deflated', () => {
    const stored = decodeNpz(fromHex(vectors.npz.stored))
    expect(Object.keys(stored)).toEqual(['x', 'y'])
    expect(stored.x?.data).toEqual(Float32Array.of(1, 2))
    expect(stored.y?.data).toEqual(BigInt64Array.of(3n))
    expect(decodeNpz(fromHex(vectors.npz.deflated)).arr_0?.shape).toEqual([100])
  })
})

describe('.npy', () => {
  test('round trip of every element type', () => {
    fc.assert(
      fc.property(anyTensor(), (value) => equalTensors(decodeNpy(encodeNpy(value)), value)),
      { numRuns: 120 },
    )
  })

  test('an input that is not aligned decodes as well', () => {
    const file = encodeNpy(tensor('float64', [2], Float64Array.of(1, 2)))
    const shifted = new Uint8Array(file.length + 1)
    shifted.set(file, 1)
    expect(decodeNpy(shifted.subarray(1)).data).toEqual(Float64Array.of(1, 2))
  })

  test('a Node Buffer that needs conversion is left unchanged', () => {
    const big = Buffer.from(vectors.converted.find(({ name }) => name === 'big-endian')!.file, 'hex')
    const before = big.toString('hex')
    decodeNpy(big)
    expect(big.toString('hex')).toBe(before)
  })

  test.each([
    ['no dictionary', ''],
    ['a call', "__import__('os').system('true')"],
    ['a key twice', "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (), }"],
    ['a missing key', "{'descr': '<f4', 'shape': (), }"],
    ['an unknown key', "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': (), }"],
    ['text after the dictionary', "{'descr': '<f4', 'fortran_order': False, 'shape': (), } 1"],
    ['a negative dimension', "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"],
    ['a huge dimension', "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999,), }"],
    [
      'more than the bytes hold',
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967295, 4294967295), }",
    ],
    ['text for a boolean', "{'descr': '<f4', 'fortran_order': 'False', 'shape': (), }"],
    ['a shape that is no tuple', "{'descr': '<f4', 'fortran_order': False, 'shape': 3, }"],
    ['33 dimensions', `{'descr': '<f4', 'fortran_order': False, 'shape': (${'1, '.repeat(33)}), }`],
    ['texts of no width', "{'descr': '<U0', 'fortran_order': False, 'shape': (5,), }"],
  ])('a header with %s is refused', (_, header) => {
    expect(codeOf(() => decodeNpy(withHeader(header)))).toBe('input/malformed')
  })

  test('bools other than 0 and 1, and characters outside Unicode', () => {
    const bool = withHeader("{'descr': '|b1', 'fortran_order': False, 'shape': (1,), }", Uint8Array.of(2))
    const text = withHeader(
      "{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }",
      Uint8Array.of(0, 0, 255, 0),
    )
    expect(codeOf(() => decodeNpy(bool))).toBe('input/malformed')
    expect(codeOf(() => decodeNpy(text))).toBe('input/malformed')
  })

  test('files above the cap, and headers above the cap', () => {
    const file = encodeNpy(tensor('uint8', [100], new Uint8Array(100)))
    expect(codeOf(() => decodeNpy(file, { maxBytes: 100 }))).toBe('input/too-large')
    expect(codeOf(() => decodeNpy(withHeader(' '.repeat(10_001))))).toBe('input/too-large')
  })

  test('truncated and extended files are refused', () => {
    const file = encodeNpy(tensor('int16', [2, 2], Int16Array.of(1, 2, 3, 4)))
    for (let length = 0; length < file.length; length++) {
      expect(codeOf(() => decodeNpy(file.subarray(0, length)))).toMatch(/^input\//)
    }
    expect(codeOf(() => decodeNpy(Uint8Array.of(...file, 0)))).toBe('input/malformed')
  })

  test('mutated files decode or are refused with a typed error', () => {
    const files = vectors.npy.map(({ file }) => fromHex(file))
    fc.assert(
      fc.property(fc.constantFrom(...files), fc.nat(), fc.nat(255), (file, at, byte) => {
        const mutated = file.slice()
        mutated[at % 140] = byte
        attempt(() => decodeNpy(mutated))
      }),
      { numRuns: 3000 },
    )
  })
})

describe('.npz', () => {
  const tensors = {
    x: tensor('float32', [2, 500], new Float32Array(1000)),
    'a/b': tensor('string', [1], ['ü']),
  }

  test.each([true, false])('round trip, compress %s', (compress) => {
    const decoded = decodeNpz(encodeNpz(tensors, { compress }))
    expect(Object.keys(decoded)).toEqual(['x', 'a/b'])
    expect(equalTensors(decoded.x!, tensors.x)).toBe(true)
    expect(equalTensors(decoded['a/b']!, tensors['a/b'])).toBe(true)
  })

  test('equal tensors give equal files', () => {
    expect(encodeNpz(tensors)).toEqual(encodeNpz(tensors))
  })

  test('a bomb is refused by its declared size', () => {
    const zeros = encodeNpz(
      { x: tensor('uint8', [10_000_000], new Uint8Array(10_000_000)) },
      { compress: true },
    )
    expect(zeros.length).toBeLessThan(20_000)
    expect(codeOf(() => decodeNpz(zeros, { maxBytes: 1_000_000 }))).toBe('input/too-large')
  })

  test('a member that unpacks to more or less than it declares is refused', () => {
    const file = encodeNpz({ x: tensor('uint8', [1000], new Uint8Array(1000)) }, { compress: true })
    const at = file.findLastIndex((_, i) => toHex(file.subarray(i, i + 4)) === '504b0102')
    for (const change of [-1, 1]) {
      const changed = file.slice()
      changed[at + 24]! += change
      expect(codeOf(() => decodeNpz(changed))).toBe('input/malformed')
    }
    const impossible = file.slice()
    impossible[at + 27] = 0x0f
    expect(codeOf(() => decodeNpz(impossible, { maxBytes: 2 ** 30 }))).toBe('input/malformed')
  })

  test('a member that is no array is named', () => {
    const file = encodeNpz({ x: tensor('uint8', [1], Uint8Array.of(1)) })
    const changed = Uint8Array.from(file)
    changed.set(utf8('x.txt'), 30)
    const at = changed.findLastIndex((_, i) => toHex(changed.subarray(i, i + 4)) === '504b0102')
    changed.set(utf8('x.txt'), at + 46)
    expect(() => decodeNpz(changed)).toThrow(/NAME\.npy.*"x\.txt"/)
  })

  test('every changed, missing or added byte gives the same tensors or a typed error', () => {
    const file = encodeNpz({ x: tensor('int8', [3], Int8Array.of(1, 2, 3)) }, { compress: true })
    for (let at = 0; at < file.length; at++) {
      expect(codeOf(() => decodeNpz(file.subarray(0, at)))).toMatch(/^input\//)
      const changed = file.slice()
      changed[at]! ^= 1 << (at % 8)
      const verdict = attempt(() => decodeNpz(changed))
      if (verdict.ok) expect(Object.values(verdict.value)[0]?.data).toEqual(Int8Array.of(1, 2, 3))
      else expect(verdict.code).toMatch(/^input\//)
    }
    expect(codeOf(() => decodeNpz(Uint8Array.of(...file, 0)))).toBe('input/malformed')
  })

  test('AssayError is what is thrown', () => {
    expect(() => decodeNpz(new Uint8Array(5))).toThrow(AssayError)
  })
})
