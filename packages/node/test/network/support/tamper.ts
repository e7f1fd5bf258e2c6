/** One small change to a receipt bundle, drawn at random: a bit of the signed payload, or a digit of an execution. */
import { fromBase64, toBase64 } from 'assay/core/bytes'
import type { ReceiptBundle } from 'assay/receipt/job/bundle'
import type { Random } from './random.ts'

type Holder = { [key: string]: unknown }

/** What was changed, and the changed copy. */
export function tampered(
  bundle: ReceiptBundle,
  random: Random,
): { readonly what: string; readonly bundle: ReceiptBundle } {
  const copy = structuredClone(bundle) as ReceiptBundle
  return random.chance(0.5) ? flipPayload(copy, random) : changeExecution(copy, random)
}

function flipPayload(bundle: ReceiptBundle, random: Random) {
  const envelope = bundle.envelope as { payload: string }
  const bytes = fromBase64(envelope.payload)
  const at = random.below(bytes.length)
  bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
  envelope.payload = toBase64(bytes)
  return { what: `byte ${at} of the payload`, bundle }
}

function changeExecution(bundle: ReceiptBundle, random: Random) {
  const leaves: { readonly holder: Holder; readonly key: string; readonly path: string }[] = []
  const visit = (value: unknown, path: string) => {
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      const isText = typeof inner === 'string' && /[0-9a-f]{16}/.test(inner)
      if (isText) leaves.push({ holder: value as Holder, key, path: `${path}.${key}` })
      visit(inner, `${path}.${key}`)
    }
  }
  visit(bundle.executions, 'executions')
  const { holder, key, path } = random.pick(leaves)
  const text = holder[key] as string
  const at = random.below(text.length)
  const other = text[at] === '1' ? '2' : '1'
  holder[key] = text.slice(0, at) + other + text.slice(at + 1)
  return { what: `character ${at} of ${path}`, bundle }
}
