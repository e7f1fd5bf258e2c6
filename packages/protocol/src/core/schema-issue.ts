/**
 * What a schema found wrong, in our words.
 *
 * The schema library's own messages depend on the locale that a program happens to load, and are empty
 * without one. An author's message in a schema (`z.string('a node id')`) says what was expected and wins.
 */
import type * as z from 'zod/mini'
import { AssayError } from './errors.ts'
import { clipText, formatPath } from './inspect.ts'

type Issue = z.core.$ZodIssue

export interface MainIssue {
  readonly path: readonly PropertyKey[]
  readonly expected: string
  /** What came, where that is not simply the value at `path`. */
  readonly found?: string
}

/** Unknown fields or choices that a message lists. */
const LISTED = 8

const TYPE_NAMES: { readonly [type: string]: string } = {
  string: 'a string',
  number: 'a finite number',
  int: 'a whole number',
  boolean: 'true or false',
  bigint: 'a bigint',
  array: 'an array',
  tuple: 'a tuple',
  object: 'an object',
  record: 'an object',
  null: 'null',
  undefined: 'nothing',
  never: 'nothing',
}

const UNITS: { readonly [origin: string]: string } = {
  string: ' characters',
  array: ' elements',
  set: ' elements',
  file: ' bytes',
}

/** The error map of every parse: what an issue expected. */
export function describeIssue(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return TYPE_NAMES[issue.expected] ?? issue.expected
    case 'too_big':
      return bound(issue, issue.inclusive === false ? 'less than' : 'at most', issue.maximum)
    case 'too_small':
      return bound(issue, issue.inclusive === false ? 'more than' : 'at least', issue.minimum)
    case 'invalid_format':
      return issue.pattern === undefined
        ? `text in the form ${issue.format}`
        : `text that matches ${issue.pattern}`
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`
    case 'unrecognized_keys':
      return 'no unknown field'
    case 'invalid_value':
      return choices(issue.values)
    case 'invalid_union':
      return 'options' in issue && Array.isArray(issue.options) ? choices(issue.options) : 'another form'
    case 'invalid_key':
      return 'another key'
    default:
      return 'a valid value'
  }
}

/** `codec/schema`: `what` has the wrong thing at `path`. */
export function schemaError(
  what: string,
  path: readonly PropertyKey[],
  { expected, got }: { readonly expected: string; readonly got: string },
): AssayError {
  const place = formatPath(path)
  return new AssayError('codec/schema', `${what}: ${place}: expected ${expected}, got ${got}`, {
    detail: { path: place, expected, got },
  })
}

/** The issue to tell: the first, and in a union the branch that got furthest. */
export function mainIssue(issues: readonly Issue[]): MainIssue {
  const issue = issues[0]
  if (issue === undefined) return { path: [], expected: 'a valid value' }
  const { path, message: expected } = issue
  if (issue.code === 'unrecognized_keys') {
    return { path, expected, found: list(issue.keys.map(clipText), 'and') }
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return unionIssue(issue, issue.errors)
  if (issue.code === 'invalid_key')
    return { path, expected: mainIssue(issue.issues).expected, found: 'this key' }
  return { path, expected }
}

function unionIssue(issue: Issue, branches: readonly (readonly Issue[])[]): MainIssue {
  const candidates = branches.map(mainIssue)
  const furthest = Math.max(...candidates.map((candidate) => candidate.path.length))
  if (furthest === 0) {
    const expected = list([...new Set(candidates.map((candidate) => candidate.expected))], 'or')
    return { path: issue.path, expected }
  }
  const main = candidates.find((candidate) => candidate.path.length === furthest) as MainIssue
  return { ...main, path: [...issue.path, ...main.path] }
}

function bound(
  issue: { readonly origin: string; readonly exact?: boolean },
  relation: string,
  limit: number | bigint,
): string {
  return `${issue.exact === true ? 'exactly' : relation} ${limit}${UNITS[issue.origin] ?? ''}`
}

function choices(values: readonly z.core.util.Primitive[]): string {
  return list(
    values.map((value) => (typeof value === 'string' ? clipText(value) : String(value))),
    'or',
  )
}

function list(texts: readonly string[], conjunction: string): string {
  if (texts.length > LISTED)
    return `${texts.slice(0, LISTED).join(', ')} ${conjunction} ${texts.length - LISTED} more`
  if (texts.length < 2) return texts.join('')
  return `${texts.slice(0, -1).join(', ')} ${conjunction} ${texts[texts.length - 1]}`
}
