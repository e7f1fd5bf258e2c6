import { createHash } from 'node:crypto'
import { toBase64 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { tagged } from 'assay/core/digest'
import { AssayError } from 'assay/core/errors'
import { decodeRows, encodeRows } from 'assay/task/rows'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { outputRows, readOutput } from './output.ts'

/** A store that hands blobs out in pieces of a size. */
function contentOf(bytes: Uint8Array, pieceBytes: number) {
  const cid = contentAddress(bytes, 'raw')
  const content = {
    missing: async () => [],
    async *read(asked: string) {
      if (asked !== cid) throw new AssayError('blob/missing', 'no such blob')
      for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
    },
  }
  return { cid, content }
}

const rows = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 })
const pieces = fc.integer({ min: 1, max: 50 })

it('property: reads rows whole, inline and in pieces of any size', async () => {
  await fc.assert(
    fc.asyncProperty(rows, pieces, async (list, pieceBytes) => {
      const bytes = encodeRows(list)
      const { cid, content } = contentOf(bytes, pieceBytes)
      const shape = { rows: list.length, maxRowBytes: 40 }
      for (const output of [{ cid }, { inline: toBase64(bytes) }]) {
        const read = await readOutput(content, output, shape)
        if (!read.ok) throw AssayError.fromJSON(read)
        expect(Buffer.from(read.value.digest)).toEqual(createHash('sha256').update(bytes).digest())
        expect(read.value.taskDigest).toEqual(tagged('assay/task-output/v1', bytes))
        const found: Uint8Array[] = []
        for await (const row of outputRows(content, output)) found.push(row)
        expect(found).toEqual(list.map((row) => new Uint8Array(row)))
      }
    }),
  )
})

it('property: takes any bytes for what the decoder of rows takes them for', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.tuple(rows, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([list, at, flip]) => {
      const good = encodeRows(list)
      good[at % good.length] = (good[at % good.length] as number) ^ flip
      return good
    }),
  )
  await fc.assert(
    fc.asyncProperty(bytes, pieces, fc.nat({ max: 8 }), async (given, pieceBytes, count) => {
      const { cid, content } = contentOf(given, pieceBytes)
      const read = await readOutput(content, { cid }, { rows: count, maxRowBytes: 2 ** 24 })
      let isGood = false
      try {
        isGood = decodeRows(given).length === count
      } catch (error) {
        expect(error).toBeInstanceOf(AssayError)
      }
      expect(read.ok).toBe(isGood)
      if (!read.ok) expect(read.code).toBe('result/rows')
    }),
    { numRuns: 300 },
  )
})

it('refuses what is not there, and addresses of something else', async () => {
  const { content } = contentOf(new Uint8Array(4), 4)
  const shape = { rows: 0, maxRowBytes: 1 }
  const other = contentAddress(new Uint8Array(5), 'raw')
  const encoded = contentAddress(new Uint8Array(4), 'dag-cbor')
  for (const cid of [other, encoded, `b${'a'.repeat(58)}`]) {
    expect(await readOutput(content, { cid }, shape)).toMatchObject({ ok: false, code: 'result/output' })
  }
})
