import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concatBytes } from '../core/bytes.ts'
import { attempt } from '../core/errors.ts'
import { denseModel, encodeTensorProto, floats } from './testing/models.ts'
import { assertProtoWire, MAX_PROTO_DEPTH, MAX_PROTO_INTEGERS, MAX_PROTO_OBJECTS } from './wire-scan.ts'

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest < 128 ? rest : (rest % 128) | 128)
    if (rest < 128) return Uint8Array.from(bytes)
  }
}

/** A length-delimited field. */
function field(number: number, body: Uint8Array): Uint8Array {
  return concatBytes(varint(number * 8 + 2), varint(body.length), body)
}

function scan(bytes: Uint8Array, root: 'ModelProto' | 'TensorProto' = 'ModelProto'): string {
  const verdict = attempt(() => assertProtoWire(bytes, root))
  return verdict.ok ? 'accepted' : verdict.code
}

/** `levels` subgraphs within one another: graph, node, attribute, graph, … */
function nested(levels: number): Uint8Array {
  let graph = new Uint8Array()
  for (let i = 0; i < levels; i++) graph = Uint8Array.from(field(1, field(5, field(6, graph))))
  return field(7, graph)
}

describe('the scan of the wire', () => {
  test('accepts what an encoder writes, and fields that it does not know', () => {
    expect(scan(denseModel())).toBe('accepted')
    expect(scan(encodeTensorProto(floats('x', [2], [1, 2])), 'TensorProto')).toBe('accepted')
    expect(scan(field(1000, Uint8Array.of(1, 2, 3)))).toBe('accepted')
    expect(scan(new Uint8Array())).toBe('accepted')
  })

  test('bounds the nesting', () => {
    expect(scan(nested(20))).toBe('accepted')
    expect(scan(nested(MAX_PROTO_DEPTH / 3 + 1))).toBe('onnx/too-large')
    expect(scan(nested(2_000))).toBe('onnx/too-large')
  })

  test('bounds the number of objects that two bytes each would make', () => {
    const empty = new Uint8Array(2 * (MAX_PROTO_OBJECTS + 1)).map((_, i) => (i % 2 === 0 ? 0x0a : 0))
    expect(scan(field(7, empty))).toBe('onnx/too-large')
    expect(scan(field(7, empty.subarray(0, 2000)))).toBe('accepted')
  })

  test('bounds the number of integers, packed or not', () => {
    const packed = new Uint8Array(MAX_PROTO_INTEGERS + 1)
    expect(scan(field(7, packed), 'TensorProto')).toBe('onnx/too-large')
    const single = new Uint8Array(2 * (MAX_PROTO_INTEGERS + 1)).map((_, i) => (i % 2 === 0 ? 0x38 : 0))
    expect(scan(single, 'TensorProto')).toBe('onnx/too-large')
  })

  test.each<[string, Uint8Array]>([
    ['groups', Uint8Array.of(0x0b, 0x0c)],
    ['wire types that do not exist', Uint8Array.of(0x0e)],
    ['field number 0', Uint8Array.of(0x00, 0x00)],
    ['a known field of another wire type', Uint8Array.of(0x38, 0x00)],
    ['a length beyond the end', Uint8Array.of(0x3a, 0x05, 0x00)],
    ['a length of 2^35', Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0xff)],
    ['an endless integer', Uint8Array.of(0x08, ...new Array(11).fill(0xff))],
    ['a truncated tag', Uint8Array.of(0xff)],
    ['a graph twice', concatBytes(field(7, new Uint8Array()), field(7, new Uint8Array()))],
    ['a child that ends outside its parent', field(7, Uint8Array.of(0x0a, 0x02, 0x00))],
  ])('refuses %s', (_, bytes) => {
    expect(scan(bytes)).toBe('onnx/malformed')
  })

  test('refuses packed floats of a broken length', () => {
    expect(scan(field(4, new Uint8Array(6)), 'TensorProto')).toBe('onnx/malformed')
    expect(scan(field(10, new Uint8Array(12)), 'TensorProto')).toBe('onnx/malformed')
    expect(scan(field(4, new Uint8Array(8)), 'TensorProto')).toBe('accepted')
  })

  test('any bytes are accepted or refused with a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(['accepted', 'onnx/malformed', 'onnx/too-large']).toContain(scan(bytes))
      }),
      { numRuns: 2000 },
    )
  })
})
