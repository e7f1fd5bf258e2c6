import { fromHex, toBase64, utf8 } from 'assay/core/bytes'
import { contentAddress } from 'assay/core/cid'
import { sha256 } from 'assay/core/digest'
import { ed25519KeyPair, nodeId } from 'assay/core/keys'
import { commitExecution, verifyExecution } from 'assay/core/poe'
import { verifyLazy } from 'assay/method/sampling/verifier'
import { decodeRows, encodeRows } from 'assay/task/rows'
import type { LeaseGroup } from 'assay/wire/dispatch'
import { plainExecutionFields, segmentRequestId, segmentTask } from 'assay/wire/segment'
import { describe, expect, it } from 'vitest'
import { executeRows, groupTask } from './execution.ts'

const KEY = ed25519KeyPair(new Uint8Array(32).fill(1))
const INPUT = encodeRows(['a', 'b', 'c', 'd', 'e'].map((text) => utf8(text)))
const GROUP: Omit<LeaseGroup, 'segments'> = {
  jobId: '01890000-0000-7000-8000-000000000000',
  work: { kind: 'chat', model: 'm', temperature: 0, seed: 1, maxTokens: 8, compare: 'text' },
  input: { inline: toBase64(INPUT) },
  inputCid: contentAddress(INPUT, 'raw'),
  falsePositiveRate: null,
  guessProbability: 0,
  leaseSeconds: 30,
  deadlineAt: '2030-01-01T00:00:00.000Z',
}
const lease = (n: number, from: number, to: number) => ({
  id: `01890000-0000-7000-8000-00000000000${n}`,
  fence: n,
  from,
  to,
  nonce: String(n).repeat(64),
})
const rowAt = (index: number) => utf8(`row ${index}`)
const computed = (n: number, from: number, to: number) => ({
  lease: lease(n, from, to),
  rows: Array.from({ length: to - from }, (_, i) => rowAt(from + i)),
  elapsedMs: 3,
})
const signal = new AbortController().signal

describe('what a node answers', () => {
  it('without a proof is what everybody derives from the rows', async () => {
    const task = groupTask(GROUP)
    const results = await executeRows(task, [computed(1, 0, 2), computed(2, 2, 5)], { key: KEY, signal })
    for (const [i, result] of results.entries()) {
      const { id, from, to, nonce } = lease(i + 1, i === 0 ? 0 : 2, i === 0 ? 2 : 5)
      const fields = plainExecutionFields({
        task: task.task,
        segment: { input: GROUP.inputCid, from, to },
        job: { requestId: segmentRequestId(id), nonce: fromHex(nonce) },
        nodeId: nodeId(KEY.publicKey),
        outputDigest: sha256(result.output),
      })
      expect(result).toMatchObject({
        id,
        fence: i + 1,
        fields,
        commitment: commitExecution(fields),
        sampling: null,
      })
      expect(result.outputCid).toBe(contentAddress(result.output, 'raw'))
      expect(decodeRows(result.output)).toHaveLength(to - from)
    }
  })

  it('with a proof passes the check of a verifier, and fails it where a row was altered', async () => {
    const group = { ...GROUP, falsePositiveRate: 0.01, guessProbability: 0.1 }
    const task = segmentTask(group.work, (_, index) => rowAt(index), group)
    const check = async (faked: boolean) => {
      const given = computed(3, 1, 5)
      if (faked) given.rows[2] = utf8('made up')
      const [result] = await executeRows(groupTask(group), [given], { key: KEY, signal })
      const { output, sampling, fields } = result!
      const job = { requestId: segmentRequestId(given.lease.id), nonce: fromHex(given.lease.nonce) }
      const commitment = { fields, publicKey: KEY.publicKey, signature: sampling!.signature }
      expect(await verifyExecution(commitment)).toMatchObject({ ok: true })
      const solverInput = { input: group.inputCid, from: 1, to: 5 }
      const verification = await verifyLazy(
        task,
        {
          solverRequest: { solverInput, falsePositiveRate: 0.01 },
          solverOutput: decodeRows(output),
          solverProof: { bloomFilter: toBase64(sampling!.proof), countItems: 4 },
          verificationRatio: 1,
        },
        { job, commitment, seed: new Uint8Array(32) },
      )
      return verification.response
    }
    expect((await check(false)).isVerified).toBe(true)
    expect((await check(true)).isVerified).toBe(false)
  })

  it('is nothing where rows are missing', async () => {
    for (const falsePositiveRate of [null, 0.01]) {
      const given = computed(1, 0, 3)
      given.rows.pop()
      const answer = executeRows(groupTask({ ...GROUP, falsePositiveRate }), [given], { key: KEY, signal })
      await expect(answer).rejects.toMatchObject({ code: 'work/rows' })
    }
  })
})
