import { expect, it } from 'vitest'
import { toHex, utf8 } from './bytes.ts'
import { hashFields, sha256 } from './digest.ts'
import { seedFor } from './seed-purpose.ts'
import { codeOf } from './testing/code-of.ts'

it('gives a seed of its own to a purpose', () => {
  const seed = sha256(utf8('seed'))
  expect(toHex(seedFor('sampling', seed))).toBe(
    toHex(hashFields('assay/seed-purpose/v1', [utf8('sampling'), seed])),
  )
  expect(toHex(seedFor('sampling', seed))).not.toBe(toHex(seed))
  expect(codeOf(() => seedFor('sampling', seed.subarray(1))).code).toBe('seed/malformed')
})
