import { createHash, createPublicKey, verify as verifyNatively } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromBase64, fromHex, toHex, utf8 } from '../../core/bytes.ts'
import { decodeCanonical } from '../../core/codec.ts'
import { type Digest, sha256 } from '../../core/digest.ts'
import { ed25519KeyPair, generateKey, type PublicKey, verifySignature } from '../../core/keys.ts'
import { randomStream } from '../../core/sampling.ts'
import { codeOf } from '../../core/testing/code-of.ts'
import { mutateBytes } from '../../core/testing/mutate-bytes.ts'
import { sealEnvelope } from '../envelope.ts'
import { signCheckpoint, verifyCheckpoint } from './checkpoint.ts'
import { entryHashes, logEntryObject, receiptDigest } from './entry.ts'
import { formatNoteKey, MAX_NOTE_LENGTH, noteKeyId, parseNote, signNote } from './note.ts'
import { log, logKey } from './testing/log-server.ts'
import { appendLeaves, EMPTY_FRONTIER } from './tree.ts'

const { published, own } = JSON.parse(
  readFileSync(new URL('../../../../../vectors/transparency-log.json', import.meta.url), 'utf8'),
)
const ownLog = {
  origin: own.origin as string,
  publicKey: { type: 'ed25519', bytes: fromHex(own.publicKey) } as PublicKey,
}
const head = { origin: log.origin, size: 7, root: sha256(utf8('root')), timeSeconds: 1_767_323_045 }

/** RFC 8032 by node:crypto, on the raw key. */
function holds(key: Uint8Array, message: string, signature: Uint8Array): boolean {
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key])
  return verifyNatively(
    null,
    utf8(message),
    createPublicKey({ key: der, format: 'der', type: 'spki' }),
    signature,
  )
}

describe('published forms', () => {
  it('a checkpoint signed elsewhere has the key id and the signature that are expected here', async () => {
    const publicKey: PublicKey = { type: 'ed25519', bytes: fromHex(published.signedNote.publicKey) }
    const { text, signatures } = parseNote(published.signedNote.note)
    const [{ name, bytes }] = signatures as [(typeof signatures)[number]]
    expect(`${name}\n`).toBe(text.slice(0, name.length + 1))
    expect(bytes.subarray(0, 4)).toEqual(noteKeyId({ name, publicKey }, 'ed25519'))
    expect(await verifySignature(publicKey, utf8(text), bytes.slice(4))).toEqual({ ok: true, value: true })
    // It has no date, so that it is none of our logs.
    expect(await verifyCheckpoint(published.signedNote.note, { origin: name, publicKey })).toMatchObject({
      code: 'log/signature',
    })
  })

  it.each(['ed25519', 'cosignature'] as const)('keys as text: %s', (type) => {
    const text: string = published.noteKeys[type]
    // Base64 has plus signs, too.
    const [, name, material] = /^([^+]+)\+[0-9a-f]{8}\+(.+)$/.exec(text) as unknown as [
      string,
      string,
      string,
    ]
    const publicKey: PublicKey = { type: 'ed25519', bytes: fromBase64(material).slice(1) }
    expect(formatNoteKey({ name, publicKey }, type)).toBe(text)
  })

  it('the time of a cosignature', () => {
    const bytes = fromBase64(published.cosignatureTime.signature)
    expect(Number(new DataView(bytes.buffer).getBigUint64(4))).toBe(published.cosignatureTime.timeSeconds)
  })
})

describe('vectors of our own', () => {
  it.each(own.checkpoints as { size: number; root: string; timeSeconds: number; note: string }[])(
    'a checkpoint of $size entries',
    async ({ note, root, size, timeSeconds }) => {
      const checkpoint = { origin: ownLog.origin, size, root: fromHex(root) as Digest, timeSeconds }
      expect(await verifyCheckpoint(note, ownLog)).toEqual({ ok: true, value: checkpoint })
      expect(await signCheckpoint(checkpoint, ed25519KeyPair(fromHex(own.secretKey)))).toBe(note)

      const [text, signatures] = note.split('\n\n') as [string, string]
      expect(text).toBe(`${own.origin}\n${size}\n${Buffer.from(root, 'hex').toString('base64')}`)
      const [plain, dated] = signatures
        .trimEnd()
        .split('\n')
        .map((line) => Buffer.from(line.split(' ')[2] as string, 'base64')) as [Buffer, Buffer]
      const id = (type: number) =>
        createHash('sha256')
          .update(`${own.origin}\n`)
          .update(Uint8Array.of(type))
          .update(ownLog.publicKey.bytes)
          .digest()
          .subarray(0, 4)
      expect(plain.subarray(0, 4)).toEqual(id(1))
      expect(dated.subarray(0, 4)).toEqual(id(4))
      expect(holds(ownLog.publicKey.bytes, `${text}\n`, plain.subarray(4))).toBe(true)
      expect(dated.readBigUInt64BE(4)).toBe(BigInt(timeSeconds))
      const cosigned = `cosignature/v1\ntime ${timeSeconds}\n${text}\n`
      expect(holds(ownLog.publicKey.bytes, cosigned, dated.subarray(12))).toBe(true)
    },
  )

  it('entries, and the tree over them', () => {
    const entries = own.entries.map((entry: { jobId: string; receipt: string; issuedAtMs: number }) => ({
      jobId: entry.jobId,
      receipt: fromHex(entry.receipt),
      issuedAtMs: entry.issuedAtMs,
    }))
    own.entries.forEach(({ leaf, leafHash }: { leaf: string; leafHash: string }, i: number) => {
      expect(toHex(logEntryObject.encode(entries[i]))).toBe(leaf)
      expect(logEntryObject.decode(fromHex(leaf))).toEqual(entries[i])
      expect(decodeCanonical(fromHex(leaf), { maxBytes: 512 })).toMatchObject({
        type: 'assay/log-entry',
        v: 1,
      })
      expect(createHash('sha256').update('\0').update(fromHex(leaf)).digest('hex')).toBe(leafHash)
    })
    const { root } = appendLeaves(EMPTY_FRONTIER, entryHashes(entries))
    expect(toHex(root)).toBe(own.checkpoints[3].root)
  })
})

describe('an entry', () => {
  it('names the envelope, whatever the layout of its JSON', async () => {
    const envelope = await sealEnvelope(utf8('{}'), logKey)
    const again = {
      signatures: envelope.signatures,
      payload: envelope.payload,
      payloadType: envelope.payloadType,
    }
    expect(receiptDigest(again)).toEqual(receiptDigest(envelope))
    const other = await sealEnvelope(utf8('{ }'), logKey)
    expect(receiptDigest(other)).not.toEqual(receiptDigest(envelope))
    expect(codeOf(() => receiptDigest({ ...envelope, extra: 1 })).code).toBe('codec/schema')
  })

  it('is refused with fields out of range', () => {
    const good = { jobId: 'a', receipt: sha256(utf8('x')), issuedAtMs: 1 }
    for (const change of [
      { jobId: '' },
      { jobId: 'a'.repeat(129) },
      { receipt: new Uint8Array(31) },
      { issuedAtMs: -1 },
    ]) {
      expect(codeOf(() => logEntryObject.encode({ ...good, ...change } as never)).code).toBe('codec/schema')
    }
  })
})

describe('a checkpoint', () => {
  it('property: comes back as it was signed', async () => {
    const heads = fc.record({
      size: fc.maxSafeNat(),
      timeSeconds: fc.maxSafeNat(),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    })
    await fc.assert(
      fc.asyncProperty(heads, async (parts) => {
        const checkpoint = { origin: log.origin, ...parts, root: parts.root as Digest }
        const signed = await signCheckpoint(checkpoint, logKey)
        expect(await verifyCheckpoint(signed, log)).toEqual({ ok: true, value: checkpoint })
      }),
      { numRuns: 20 },
    )
  })

  it('asks the signature check that it was given', async () => {
    const signed = await signCheckpoint(head, logKey)
    const messages: string[] = []
    const verify: typeof verifySignature = async (_, message) => {
      messages.push(new TextDecoder().decode(message))
      return { ok: true, value: true }
    }
    expect((await verifyCheckpoint(signed, log, { verify })).ok).toBe(true)
    const text = signed.slice(0, signed.indexOf('\n\n') + 1)
    expect(messages).toEqual([text, `cosignature/v1\ntime ${head.timeSeconds}\n${text}`])
  })

  it('holds beside signatures of others, and with extension lines', async () => {
    const signed = await signCheckpoint(head, logKey)
    const witness = `— witness.example.com/w1 ${Buffer.alloc(76, 5).toString('base64')}\n`
    const expected = { ok: true, value: head }
    expect(await verifyCheckpoint(signed + witness, log)).toEqual(expected)
    const extended = await signNote(`${signed.split('\n\n')[0]}\nextension 1\n`, {
      name: log.origin,
      key: logKey,
      timeSeconds: head.timeSeconds,
    })
    expect(await verifyCheckpoint(extended, log)).toEqual(expected)
    expect(await verifyCheckpoint(extended.replace('extension 1', 'extension 2'), log)).toMatchObject({
      code: 'log/signature',
    })
  })

  it('is refused with a code after any change of its text', async () => {
    const signed = utf8(await signCheckpoint(head, logKey))
    const stream = randomStream(sha256(utf8('checkpoints')), 'mutations')
    const codes = new Set<string>()
    for (let i = 0; i < 600; i++) {
      const text = new TextDecoder().decode(mutateBytes(signed, stream))
      const verdict = await verifyCheckpoint(text, log)
      expect(verdict.ok, text).toBe(false)
      if (!verdict.ok) codes.add(verdict.code)
    }
    expect([...codes].sort()).toEqual(['log/malformed', 'log/signature'])
  })

  it("is refused as another log's, under another key, or with one signature missing or doubled", async () => {
    const signed = await signCheckpoint(head, logKey)
    const other = ed25519KeyPair(new Uint8Array(32).fill(1)).publicKey
    const [text, plain, dated] = [
      signed.slice(0, signed.indexOf('\n\n') + 2),
      ...signed.slice(signed.indexOf('\n\n') + 2).split(/(?<=\n)/),
    ] as [string, string, string]
    expect(text + plain + dated).toBe(signed)
    expect((await verifyCheckpoint(text + dated + plain, log)).ok).toBe(true)
    const code = 'log/signature'
    expect(await verifyCheckpoint(signed, { ...log, origin: 'example.com/other' })).toMatchObject({ code })
    expect(await verifyCheckpoint(signed, { ...log, publicKey: other })).toMatchObject({ code })
    for (const lines of [plain, dated, plain + plain, plain + dated + dated, plain + dated + plain]) {
      expect(await verifyCheckpoint(text + lines, log)).toMatchObject({ code })
    }
    // A date is not moved to another text of the same log.
    const later = await signCheckpoint({ ...head, timeSeconds: head.timeSeconds + 1, size: 8 }, logKey)
    const moved = text + plain + later.slice(later.lastIndexOf('—'))
    expect(await verifyCheckpoint(moved, log)).toMatchObject({ code })
  })

  it('is refused in any other form', async () => {
    const signed = await signCheckpoint(head, logKey)
    const root = Buffer.from(head.root).toString('base64')
    const wrong: unknown[] = [
      null,
      7,
      '',
      '\n\n',
      signed.slice(0, -1),
      `${signed}\n`,
      signed.replace('\n7\n', '\n07\n'),
      signed.replace('\n7\n', '\n-7\n'),
      signed.replace('\n7\n', '\n9007199254740992\n'),
      signed.replace('\n7\n', '\n99999999999999999999\n'),
      signed.replace('\n7\n', '\n7\r\n'),
      signed.replace(root, root.slice(0, -4)),
      signed.replace(root, `${root} `),
      signed.replaceAll('—', '-'),
      signed.replace('example', 'exam\ud800ple'),
      `${signed}— w AAAA\n`,
      `${signed}— w AAAAAAAAA\n`,
      signed + `— w ${Buffer.alloc(70).toString('base64')}\n`.repeat(40),
      'x'.repeat(MAX_NOTE_LENGTH + 1),
    ]
    for (const note of wrong) {
      expect(await verifyCheckpoint(note, log), String(note)).toMatchObject({ code: 'log/malformed' })
    }
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (value) => {
        expect(await verifyCheckpoint(value, log)).toMatchObject({ code: 'log/malformed' })
      }),
    )
  })

  it('is signed under a name and a key that notes can carry, and about numbers', async () => {
    for (const origin of ['', 'a b', 'a+b', 'a\nb', 'a'.repeat(256), 'a\u00a0b']) {
      await expect(signCheckpoint({ ...head, origin }, logKey)).rejects.toMatchObject({ code: 'log/key' })
    }
    const rsa = await generateKey('rsa-pss-3072')
    await expect(signCheckpoint(head, rsa)).rejects.toMatchObject({ code: 'log/key' })
    expect(
      await verifyCheckpoint(await signCheckpoint(head, logKey), { ...log, publicKey: rsa.publicKey }),
    ).toMatchObject({ code: 'log/key' })
    for (const change of [
      { size: -1 },
      { size: 1.5 },
      { timeSeconds: Number.NaN },
      { root: new Uint8Array(31) },
    ]) {
      await expect(signCheckpoint({ ...head, ...change } as never, logKey)).rejects.toMatchObject({
        code: 'log/malformed',
      })
    }
  })
})
