/**
 * Values in messages: short, and never a way for a hostile value to throw something untyped.
 */

/** Longest piece of a string that a message repeats. */
const CLIP = 40

/** Name of a value's class; unlike `instanceof` it holds across realms. */
export function typeName(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1)
}

/** A number, boolean or short text as it is; of anything else, its class. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'bigint': {
      const text = String(BigInt.asIntN(256, value))
      return BigInt(text) === value ? text : 'a bigint above 256 bits'
    }
    case 'string':
      return value.length > CLIP
        ? `${JSON.stringify(value.slice(0, CLIP))}… (${value.length} characters)`
        : JSON.stringify(value)
    default:
      return value === null ? 'null' : typeName(value)
  }
}
