/**
 * Arguments as models write them: JSON strictly, and the mixture of Python, JavaScript and words that stands
 * between the brackets of a call.
 *
 * One pass from left to right. Where a value turns out to be part of an expression (`x + 1`, `items[0]`), its
 * text is taken as it stands, up to the comma or bracket that ends it. So a text is read at most once for each
 * level of nesting, whose number is capped: the time is linear in the text.
 */
import { isWellFormed } from './binary.ts'
import {
  isFreeKey,
  MAX_ARGUMENTS,
  MAX_PLAN_DEPTH,
  normaliseCall,
  normaliseNumber,
  type PlanArgument,
  type PlanCall,
  type PlanValue,
  planMalformed,
  planTooLarge,
} from './plan.ts'

/** A place in a text, and the notation that is read there. */
export interface Cursor {
  readonly text: string
  readonly notation: 'json' | 'call'
  position: number
  depth: number
}

/** Nesting of JSON, which holds the arguments and what is around them: message, choice, list of calls. */
const MAX_JSON_DEPTH = 32

/** A name of a function or argument, dotted or not. */
export const NAME = String.raw`[\p{L}_$][\p{L}\p{M}\p{N}_$.-]{0,255}`

const CALL_NAME = new RegExp(`${NAME}(?=\\()`, 'uy')
const ARGUMENT_NAME = /([\p{L}_$][\p{L}\p{M}\p{N}_$-]{0,255})\s{0,8}(?:=(?![=>~])|:(?=\s))/uy
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const JSON_WORD = /true|false|null/y
const STRING_PREFIX = /[fFrRbBuU]{1,2}(?=["'])/y
const SPACE = /\s/
const NAME_CHARACTER = /[\p{L}\p{N}_]/u

const CLOSERS: { readonly [opener: string]: string } = { '(': ')', '[': ']', '{': '}' }
const QUOTES: { readonly [opener: string]: string } = { '"': '"', "'": "'", '`': '`', '“': '”', '‘': '’' }
const ESCAPES: { readonly [letter: string]: string } = {
  '"': '"',
  "'": "'",
  '`': '`',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}
const JSON_ESCAPES = '"\\/bfnrt'
const WORDS: { readonly [word: string]: null | boolean } = {
  true: true,
  True: true,
  false: false,
  False: false,
  null: null,
  None: null,
}

export function cursorAt(text: string, notation: Cursor['notation'], position = 0): Cursor {
  return { text, notation, position, depth: 0 }
}

/** One JSON value, read strictly: no doubled keys, no trailing commas. Leaves the cursor behind it. */
export function readJson(cursor: Cursor): PlanValue {
  skipSpace(cursor)
  const character = peek(cursor)
  if (character === '"') return readString(cursor)
  if (character === '[') return nested(cursor, readList)!
  if (character === '{') return nested(cursor, readDictionary)!
  const word = match(cursor, JSON_WORD)
  if (word !== undefined) return WORDS[word]!
  const literal = match(cursor, NUMBER)
  const number = literal === undefined ? undefined : normaliseNumber(literal)
  if (number === undefined) throw planMalformed('expected a JSON value', cursor.position)
  return number
}

/** A call from its name to its closing bracket. The cursor stands on the name. */
export function readCall(cursor: Cursor): PlanCall {
  const start = cursor.position
  const name = match(cursor, CALL_NAME)
  if (name === undefined) throw planMalformed('expected a name and an opening bracket', start)
  cursor.position += 1
  const args: PlanArgument[] = []
  for (let more = !closes(cursor, ')'); more; more = separates(cursor, ')')) {
    if (args.length === MAX_ARGUMENTS) throw planTooLarge(`${MAX_ARGUMENTS} arguments`, args.length + 1)
    args.push(readArgument(cursor))
  }
  return normaliseCall({ name, args })
}

function readArgument(cursor: Cursor): PlanArgument {
  skipSpace(cursor)
  const start = cursor.position
  const head = match(cursor, ARGUMENT_NAME)
  if (head === undefined) return { value: readValue(cursor) }
  const name = head.slice(0, -1).trim()
  if (name === '') throw planMalformed('expected the name of an argument', start)
  return { name, value: readValue(cursor) }
}

/** A value in the notation of the cursor; in that of calls, an expression where it is not a plain value. */
function readValue(cursor: Cursor): PlanValue {
  if (cursor.notation === 'json') return readJson(cursor)
  skipSpace(cursor)
  const start = cursor.position
  const value = readPlain(cursor)
  skipSpace(cursor)
  if (value !== undefined && endsValue(peek(cursor))) return value
  cursor.position = start
  return readExpression(cursor)
}

/** A string, list, dictionary or nested call; undefined where something else stands. */
function readPlain(cursor: Cursor): PlanValue | undefined {
  match(cursor, STRING_PREFIX)
  const character = peek(cursor)
  if (character in QUOTES) return readString(cursor)
  if (character === '[' || character === '(') return nested(cursor, readList)
  if (character === '{') return nested(cursor, readDictionary)
  const start = cursor.position
  if (match(cursor, CALL_NAME) === undefined) return undefined
  cursor.position = start
  return nested(cursor, (inner) => ({ $call: readCall(inner) }))
}

function nested<T>(cursor: Cursor, read: (cursor: Cursor) => T): T {
  cursor.depth += 1
  assertDepth(cursor, cursor.depth)
  const value = read(cursor)
  cursor.depth -= 1
  return value
}

function assertDepth({ notation }: Cursor, depth: number): void {
  const limit = notation === 'json' ? MAX_JSON_DEPTH : MAX_PLAN_DEPTH
  if (depth >= limit) throw planTooLarge(`${limit} levels of nesting`, depth)
}

function readList(cursor: Cursor): readonly PlanValue[] {
  const close = CLOSERS[peek(cursor)]!
  cursor.position += 1
  const list: PlanValue[] = []
  for (let more = !closes(cursor, close); more; more = separates(cursor, close)) list.push(readValue(cursor))
  return list
}

/** Undefined where a key has no colon, as in a set: then it is an expression. JSON throws instead. */
function readDictionary(cursor: Cursor): { readonly [key: string]: PlanValue } | undefined {
  cursor.position += 1
  const fields = new Map<string, PlanValue>()
  for (let more = !closes(cursor, '}'); more; more = separates(cursor, '}')) {
    const key = readKey(cursor)
    if (key === undefined) return undefined
    if (fields.has(key))
      throw planMalformed(`the key ${JSON.stringify(key.slice(0, 40))} comes twice`, cursor.position)
    if (!isFreeKey(key)) throw planMalformed('a key is reserved', cursor.position)
    fields.set(key, readValue(cursor))
  }
  return Object.fromEntries(fields)
}

function readKey(cursor: Cursor): string | undefined {
  skipSpace(cursor)
  const start = cursor.position
  const json = cursor.notation === 'json'
  let key: string | undefined
  if (json ? peek(cursor) === '"' : peek(cursor) in QUOTES) {
    key = readString(cursor)
  } else if (!json) {
    while (cursor.position < cursor.text.length && !':,{}[]()\n'.includes(peek(cursor))) cursor.position += 1
    key = cursor.text.slice(start, cursor.position).trim()
  }
  skipSpace(cursor)
  if (key !== undefined && peek(cursor) === ':') {
    cursor.position += 1
    return key
  }
  if (json) throw planMalformed('expected a key in quotes and a colon', cursor.position)
  return undefined
}

/** Text up to the comma or bracket that ends the value: a number, a word, or an expression. */
function readExpression(cursor: Cursor): PlanValue {
  const { text } = cursor
  const start = cursor.position
  const open: string[] = []
  const pieces: string[] = []
  while (open.length > 0 || !endsValue(peek(cursor))) {
    const character = peek(cursor)
    const from = cursor.position
    if (character === '') throw planMalformed('a bracket or quote is not closed', start)
    if (character in QUOTES && !NAME_CHARACTER.test(text[from - 1] ?? '')) {
      readString(cursor)
      pieces.push(text.slice(from, cursor.position))
      continue
    }
    cursor.position += 1
    if (character in CLOSERS) open.push(CLOSERS[character]!)
    else if (')]}'.includes(character) && open.pop() !== character)
      throw planMalformed('brackets cross', from)
    assertDepth(cursor, cursor.depth + open.length)
    if (!SPACE.test(character)) pieces.push(character)
    else if (pieces[pieces.length - 1] !== ' ') pieces.push(' ')
  }
  const expression = pieces.join('').trim()
  if (expression === '') throw planMalformed('expected a value', start)
  if (Object.hasOwn(WORDS, expression)) return WORDS[expression]!
  return normaliseLiteral(expression) ?? expression
}

/** JSON's notation for numbers only: 007, 0x1f and 1_000 are words. */
function normaliseLiteral(expression: string): PlanValue | undefined {
  NUMBER.lastIndex = 0
  return NUMBER.exec(expression)?.[0] === expression ? normaliseNumber(expression) : undefined
}

/** A quoted text, its escapes undone. Three quotes open and close as in Python. */
function readString(cursor: Cursor): string {
  const { text } = cursor
  const start = cursor.position
  const quote = peek(cursor)
  const json = cursor.notation === 'json'
  const triple = !json && text.startsWith(quote.repeat(3), start)
  const close = triple ? quote.repeat(3) : QUOTES[quote]!
  cursor.position += triple ? 3 : 1
  const pieces: string[] = []
  let from = cursor.position
  for (;;) {
    const character = peek(cursor)
    if (character === '' || (json && character < ' ')) throw planMalformed('a quote is not closed', start)
    if (text.startsWith(close, cursor.position)) break
    if (character === '\\') {
      pieces.push(text.slice(from, cursor.position), readEscape(cursor))
      from = cursor.position
    } else {
      cursor.position += 1
    }
  }
  pieces.push(text.slice(from, cursor.position))
  cursor.position += close.length
  const read = pieces.join('')
  if (!isWellFormed(read)) throw planMalformed('a text is not well-formed Unicode', start)
  return read
}

function readEscape(cursor: Cursor): string {
  const { text, notation } = cursor
  const letter = text[cursor.position + 1] ?? ''
  const digits = letter === 'u' ? 4 : letter === 'x' && notation === 'call' ? 2 : 0
  if (digits > 0) {
    const code = text.slice(cursor.position + 2, cursor.position + 2 + digits)
    if (code.length < digits || !/^[0-9a-fA-F]+$/.test(code)) {
      throw planMalformed('an escape is broken', cursor.position)
    }
    cursor.position += 2 + digits
    return String.fromCharCode(Number.parseInt(code, 16))
  }
  if (letter === '' || (notation === 'json' && !JSON_ESCAPES.includes(letter))) {
    throw planMalformed('an escape is broken', cursor.position)
  }
  cursor.position += 2
  return ESCAPES[letter] ?? `\\${letter}`
}

export function skipSpace(cursor: Cursor): void {
  while (SPACE.test(peek(cursor))) cursor.position += 1
}

/** Whether the bracket closes here; passes it. */
function closes(cursor: Cursor, close: string): boolean {
  skipSpace(cursor)
  if (peek(cursor) !== close) return false
  cursor.position += 1
  return true
}

/** Whether another element follows: passes the comma, or the closing bracket. */
function separates(cursor: Cursor, close: string): boolean {
  if (closes(cursor, close)) return false
  if (peek(cursor) !== ',') throw planMalformed(`expected a comma or "${close}"`, cursor.position)
  cursor.position += 1
  return cursor.notation === 'json' || !closes(cursor, close)
}

function endsValue(character: string): boolean {
  return character !== '' && ',)]}'.includes(character)
}

function peek(cursor: Cursor): string {
  return cursor.text[cursor.position] ?? ''
}

function match(cursor: Cursor, pattern: RegExp): string | undefined {
  pattern.lastIndex = cursor.position
  const found = pattern.exec(cursor.text)?.[0]
  if (found !== undefined) cursor.position += found.length
  return found
}
