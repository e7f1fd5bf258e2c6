/**
 * From what a language model wrote to the calls that it decided on (the paper's section 5.4.5).
 *
 * Forms, in the order in which they are tried; the first that gives a call wins:
 *
 * 1. Tool-call JSON (plan-tool-calls.ts): as the whole text, in fences (```json) or in <tool_call> tags.
 * 2. Numbered calls, on one line or on many: `1. f(a, b) 2. g(c)`. The number may be in bold, in brackets, or
 *    after "Step"; the call may be in backticks, and the result may have a name (`x = f(a)`). Where an item of
 *    a list opens with prose, its call is the first one in backticks, or with a name that looks like code
 *    (`snake_case`, `camelCase`, `a.b`). A number that does not rise ends the plan: what follows repeats it.
 * 3. Lines that are nothing but a call, with or without a bullet.
 * 4. Tool-call JSON that opens a line of prose.
 *
 * Everything else is prose, and is dropped.
 *
 * Threat: the text comes from a model that somebody may steer. Time is linear in the text, length and nesting
 * are capped, and a call that breaks off is an error: nothing is repaired.
 */
import { AssayError } from '../core/errors.ts'
import { isWellFormed } from './binary.ts'
import { assertPlan, MAX_CALLS, type Plan, type PlanCall, planMalformed, planTooLarge } from './plan.ts'
import { readJsonValues, toolCalls } from './plan-tool-calls.ts'
import { cursorAt, NAME, readCall, readJson } from './plan-value.ts'

/** Characters of text: some 16,000 tokens; a hostile one this long is refused within 50 ms. */
export const MAX_PLAN_TEXT = 2 ** 16
/** Lines that may open with JSON in prose: each is read until it breaks. */
const MAX_JSON_LINES = 16
/** Characters that may stand before the number of an item on its line: indentation, quotes, "Step". */
const MAX_LIST_PREFIX = 64

const FENCE = '```'
const TAG_OPEN = '<tool_call>'
const TAG_CLOSE = '</tool_call>'
/** The number of an item: preceded by white space or decoration, followed by its sign and not by a digit. */
const MARKER = /(?<=^|[\s*`#(>_-])(\d{1,4})\s?[.):](?=[\s*`_]|\p{L})/gu
const CALL_HEAD = String.raw`(?:(?:const|let|var)\s{1,4})?(?:(${NAME})\s{0,4}=\s{0,4})?(?:await\s{1,4})?(?=${NAME}\()`
const AFTER_MARKER = new RegExp(`[\\s*\`"]*${CALL_HEAD}`, 'uy')
const AT_LINE_START = new RegExp(`[ \\t>]*(?:[-*•+]\\s{1,4})?[*\`]*${CALL_HEAD}`, 'uy')
const LINE_END = /^[`*;.,\s]*(?:(?:#|\/\/|--|—|–|-|->|→)[^\n]*)?$/u
const NAME_END = /[\p{L}\p{M}\p{N}_$.-]/u
const NAME_WHOLE = new RegExp(`^${NAME}$`, 'u')
const LOOKS_LIKE_CODE = /[\p{L}\p{N}][_.][\p{L}\p{N}]|\p{Ll}\p{Lu}/u
const LIST_PREFIX = /^[\s*#>(`_-]*(?:[Ss]tep\s{1,4})?[*_]*$/u

/** A call found in the text, and where the text goes on. */
interface FoundCall {
  readonly call: PlanCall
  readonly end: number
}

/**
 * The plan in `text`.
 *
 * @throws AssayError `state/plan-not-found` (no call in any of the forms), `state/plan-malformed` (a call that
 * cannot be read), `state/plan-too-large`, `state/type` (not text).
 *
 * @example
 * parsePlan('1. verify(wallet, 5) 2. execute(tx)').calls.length // 2
 */
export function parsePlan(text: string): Plan {
  if (typeof text !== 'string') throw new AssayError('state/type', 'expected a plan as text')
  if (text.length > MAX_PLAN_TEXT) throw planTooLarge(`${MAX_PLAN_TEXT} characters`, text.length)
  if (!isWellFormed(text)) throw planMalformed('the text is not well-formed Unicode')
  const json = jsonCalls(text)
  // Broken JSON is not mended by reading only its sound part.
  const forms = [
    () => json.calls,
    numberedCalls,
    lineCalls,
    ...(json.error === undefined ? [proseJsonCalls] : []),
  ]
  for (const find of forms) {
    const calls = find(text)
    if (calls.length === 0) continue
    if (calls.length > MAX_CALLS) throw planTooLarge(`${MAX_CALLS} calls`, calls.length)
    const plan = { calls }
    assertPlan(plan)
    return plan
  }
  if (json.error !== undefined) throw json.error
  throw new AssayError(
    'state/plan-not-found',
    'expected numbered calls such as "1. f(a, b)", or tool calls in JSON, got neither',
  )
}

/** Calls of JSON in its own place: the whole text, fences, tags. Text that is no JSON is left to other forms. */
function jsonCalls(text: string): { readonly calls: readonly PlanCall[]; readonly error?: AssayError } {
  const calls: PlanCall[] = []
  let error: AssayError | undefined
  for (const region of jsonRegions(text)) {
    try {
      for (const value of readJsonValues(region)) calls.push(...toolCalls(value))
    } catch (thrown) {
      if (!(thrown instanceof AssayError)) throw thrown
      error ??= thrown
    }
  }
  // Half a plan must not pass for a whole one.
  if (calls.length > 0 && error !== undefined) throw error
  return error === undefined ? { calls } : { calls, error }
}

function jsonRegions(text: string): readonly string[] {
  const whole = text.trim()
  if (opensJson(whole)) return [whole]
  const tagged = regionsBetween(text, { open: TAG_OPEN, close: TAG_CLOSE })
  const regions = tagged.length > 0 ? tagged : regionsBetween(text, { open: FENCE, close: FENCE })
  return regions
    .map((region) => region.replace(/^[A-Za-z0-9_+-]{0,32}[ \t\r]*\n/, '').trim())
    .filter(opensJson)
}

function regionsBetween(
  text: string,
  { open, close }: { readonly open: string; readonly close: string },
): readonly string[] {
  const regions: string[] = []
  for (let start = text.indexOf(open); start >= 0; ) {
    const from = start + open.length
    const end = text.indexOf(close, from)
    regions.push(text.slice(from, end < 0 ? text.length : end))
    start = end < 0 ? -1 : text.indexOf(open, end + close.length)
  }
  return regions
}

function opensJson(text: string): boolean {
  return text.startsWith('{') || text.startsWith('[')
}

function numberedCalls(text: string): readonly PlanCall[] {
  const calls: PlanCall[] = []
  let last = -1
  MARKER.lastIndex = 0
  for (let marker = MARKER.exec(text); marker !== null; marker = MARKER.exec(text)) {
    const from = MARKER.lastIndex
    const found = callAfter(text, { pattern: AFTER_MARKER, from }) ?? callInItem(text, marker.index, from)
    if (found === undefined) continue
    const number = Number(marker[1])
    if (number <= last) break
    last = number
    calls.push(found.call)
    MARKER.lastIndex = found.end
  }
  return calls
}

/** The call that `pattern` opens at `from`, if it does. */
function callAfter(
  text: string,
  { pattern, from }: { readonly pattern: RegExp; readonly from: number },
): FoundCall | undefined {
  pattern.lastIndex = from
  const head = pattern.exec(text)
  return head === null ? undefined : readCallAt(text, pattern.lastIndex, head[1])
}

/** In an item that opens with prose: the first call that is marked as code, or looks like it, on its line. */
function callInItem(text: string, marker: number, from: number): FoundCall | undefined {
  if (!opensLine(text, marker)) return undefined
  const newline = text.indexOf('\n', from)
  const line = text.slice(from, newline < 0 ? text.length : newline)
  for (let bracket = line.indexOf('('); bracket >= 0; bracket = line.indexOf('(', bracket + 1)) {
    const start = nameStart(line, bracket)
    const name = line.slice(start, bracket)
    if (NAME_WHOLE.test(name) && (line[start - 1] === '`' || LOOKS_LIKE_CODE.test(name))) {
      return readCallAt(text, from + start)
    }
  }
  return undefined
}

/** Whether nothing but indentation and decoration stands before `position` on its line. */
function opensLine(text: string, position: number): boolean {
  const before = text.slice(Math.max(0, position - MAX_LIST_PREFIX), position)
  const newline = before.lastIndexOf('\n')
  if (newline < 0 && position > MAX_LIST_PREFIX) return false
  return LIST_PREFIX.test(before.slice(newline + 1))
}

/** Where the name that ends before `end` begins. */
function nameStart(text: string, end: number): number {
  let start = end
  while (start > 0 && NAME_END.test(text[start - 1]!)) start -= 1
  return start
}

function lineCalls(text: string): readonly PlanCall[] {
  const calls: PlanCall[] = []
  for (let from = 0; from < text.length; ) {
    const found = callAfter(text, { pattern: AT_LINE_START, from })
    const resume = found?.end ?? from
    const newline = text.indexOf('\n', resume)
    const lineEnd = newline < 0 ? text.length : newline
    if (found !== undefined && LINE_END.test(text.slice(resume, lineEnd))) calls.push(found.call)
    from = lineEnd + 1
  }
  return calls
}

function proseJsonCalls(text: string): readonly PlanCall[] {
  let tried = 0
  for (const { index } of text.matchAll(/^[ \t]*[[{]/gmu)) {
    tried += 1
    if (tried > MAX_JSON_LINES) break
    try {
      const calls = toolCalls(readJson(cursorAt(text, 'json', index)))
      if (calls.length > 0) return calls
    } catch (error) {
      if (!(error instanceof AssayError)) throw error
    }
  }
  return []
}

function readCallAt(text: string, position: number, result?: string): FoundCall {
  const cursor = cursorAt(text, 'call', position)
  const call = readCall(cursor)
  const end = cursor.position
  if (/[([]/.test(text[end] ?? '') || /^\.\p{L}/u.test(text.slice(end, end + 3))) {
    throw planMalformed('a call is followed by another on its result', end)
  }
  return { call: result === undefined ? call : { ...call, result: result.normalize('NFC') }, end }
}
