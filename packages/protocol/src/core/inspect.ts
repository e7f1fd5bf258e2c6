/**
 * Short, bounded descriptions of values that may be hostile, for the messages of errors.
 *
 * A message names what came; whoever sent it must not be able to make that message long, or to make its
 * making slow. So every text is clipped, and no container is ever walked.
 */

/** Characters of a foreign text that a message repeats. */
const CLIP = 40
/** Path elements that a message spells out; the rest is elided. */
const PATH_ELEMENTS = 12

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/

/** `text` as a JSON string, cut after 40 characters. */
export function clipText(text: string): string {
  return text.length > CLIP
    ? `${JSON.stringify(text.slice(0, CLIP))}… (${text.length} characters)`
    : JSON.stringify(text)
}

/** What a value is, in a few words: `"abc"`, `12`, `32 bytes`, `array of 3`, `object`. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return clipText(value)
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
      return describeBigint(value)
    case 'undefined':
      return 'nothing'
    case 'object':
      return value === null ? 'null' : describeObject(value)
    default:
      return typeof value === 'boolean' ? String(value) : typeof value
  }
}

/** `states[3].id`, or `the whole value` for the empty path. */
export function formatPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the whole value'
  let text = ''
  for (const element of path.slice(0, PATH_ELEMENTS)) {
    const name = typeof element === 'symbol' ? element.toString() : element
    if (typeof name === 'number') text += `[${name}]`
    else if (IDENTIFIER.test(name) && name.length <= CLIP) text += text === '' ? name : `.${name}`
    else text += `[${clipText(name)}]`
  }
  return path.length > PATH_ELEMENTS ? `${text}…` : text
}

function describeBigint(value: bigint): string {
  return value > -(2n ** 128n) && value < 2n ** 128n ? `${value}n` : 'a bigint beyond 128 bits'
}

function describeObject(value: object): string {
  if (value instanceof Uint8Array) return `${value.length} bytes`
  if (Array.isArray(value)) return `array of ${value.length}`
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1)
  return tag === 'Object' ? 'object' : tag.slice(0, CLIP)
}
