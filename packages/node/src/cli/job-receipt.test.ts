import { utf8 } from 'assay/core/bytes'
import { expect, test } from 'vitest'
import { isJobReceipt } from './job-receipt.ts'

test('the receipt of a job is known in whatever order a program wrote it', () => {
  const parts = { envelope: { payload: 'A'.repeat(100_000) }, format: 'assay/receipt-bundle', version: 1 }
  const text = JSON.stringify(parts)
  expect(isJobReceipt(utf8(text))).toBe(true)
  // A view into something larger, as pieces of files are.
  expect(isJobReceipt(utf8(`    ${text}`).subarray(4))).toBe(true)
  expect(isJobReceipt(utf8(text).subarray(0, 50_000))).toBe(false)
  expect(isJobReceipt(utf8(JSON.stringify(parts.envelope)))).toBe(false)
})
