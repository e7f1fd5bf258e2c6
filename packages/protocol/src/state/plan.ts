/**
 * Agentic plans: the calls that a language model decided on, in one normal form (the paper's section 5.4.5).
 *
 * What the model wrote around them, in whatever notation, is gone; plan-parse.ts makes plans from text. Two
 * texts give the same plan exactly when they call the same functions with the same arguments in the same order
 * and, where results are given names, the same names.
 *
 * The normal form
 * - Names (of functions, arguments and results) are trimmed and in Unicode form NFC.
 * - Positional arguments come first, in their order; named ones follow, sorted by code units, each name once.
 * - A bare word and a quoted one are the same text: models use both for the same thing. `true`, `null` and
 *   numbers are values only when bare.
 * - A number is a double where the double prints back to the same decimal and is not an integer beyond
 *   2^53 - 1. Every other is its decimal, `{ $number: "10000000000000000001e0" }`, so that two amounts of wei
 *   that differ by one stay two.
 * - A call within an argument is `{ $call: … }`.
 *
 * Threat: a text that one reader parses as one plan and another as another. What is executed must be the
 * parsed plan, never the text.
 */
import * as z from 'zod/mini'
import { defineObject } from '../core/codec.ts'
import { AssayError } from '../core/errors.ts'
import { describeValue } from '../core/inspect.ts'
import { isPlainObject, isWellFormed } from './binary.ts'

export interface Plan {
  readonly calls: readonly PlanCall[]
}

export interface PlanCall {
  readonly name: string
  readonly args: readonly PlanArgument[]
  /** The name that the text gave to the result: `signed` in `signed = sign(tx)`. */
  readonly result?: string
}

export interface PlanArgument {
  readonly name?: string
  readonly value: PlanValue
}

export type PlanValue =
  | null
  | boolean
  | number
  | string
  | readonly PlanValue[]
  | { readonly [key: string]: PlanValue }
  | PlanNumber
  | PlanNestedCall

/** A number that no double holds, as canonical decimal: digits without zeros at the ends, `e`, exponent. */
export interface PlanNumber {
  readonly $number: string
}

export interface PlanNestedCall {
  readonly $call: PlanCall
}

/** Calls of one plan: agents that need more are loops. */
export const MAX_CALLS = 1024
/** Arguments of one call. */
export const MAX_ARGUMENTS = 256
/** Nested lists, dictionaries and calls in one argument; four levels of encoding each, where the codec has 64. */
export const MAX_PLAN_DEPTH = 12
/** Characters of a name. */
export const MAX_NAME = 256
/** Digits and exponent of a number that is kept as decimal; 256-bit amounts have 78 digits. */
export const MAX_NUMBER_CHARS = 400
/** One encoded plan; the largest text that is parsed gives less. */
export const MAX_PLAN_BYTES = 2 ** 21

/** Keys that mean something else than a field of a dictionary. */
const RESERVED_KEYS: ReadonlySet<string> = new Set(['$number', '$call', '$text', '__proto__'])
const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,6}))?$/
const CANONICAL_DECIMAL = /^-?[1-9]\d*e-?\d{1,7}$/

const codec = defineObject<Plan>({
  type: 'assay/state/plan',
  version: 1,
  schema: z.unknown() as z.ZodMiniType<Plan>,
  maxBytes: MAX_PLAN_BYTES,
})

/** Canonical bytes of a plan in normal form. Throws what `assertPlan` throws, and `codec/too-large`. */
export function encodePlan(plan: Plan): Uint8Array {
  assertPlan(plan)
  return codec.encode(plan)
}

/** Strict inverse of `encodePlan`. Throws any code of `codec/`, and what `assertPlan` throws. */
export function decodePlan(bytes: Uint8Array): Plan {
  const plan = codec.decode(bytes)
  assertPlan(plan)
  return plan
}

/**
 * A call in normal form from parts in any form. Throws `state/plan-malformed` (an empty or doubled name) or
 * `state/plan-too-large`.
 */
export function normaliseCall(call: PlanCall): PlanCall {
  const positional: PlanArgument[] = []
  const named: { readonly name: string; readonly value: PlanValue }[] = []
  for (const { name, value } of call.args) {
    if (name === undefined) positional.push({ value })
    else named.push({ name: normaliseName(name), value })
  }
  named.sort((a, b) => compareText(a.name, b.name))
  const doubled = named.find(({ name }, i) => name === named[i + 1]?.name)
  if (doubled !== undefined) throw planMalformed(`argument ${describeValue(doubled.name)} is given twice`)
  if (call.args.length > MAX_ARGUMENTS) throw planTooLarge(`${MAX_ARGUMENTS} arguments`, call.args.length)
  return {
    name: normaliseName(call.name),
    args: [...positional, ...named],
    ...(call.result === undefined ? {} : { result: normaliseName(call.result) }),
  }
}

/** The value of a decimal literal in JSON's notation, in normal form; undefined for what is not one. */
export function normaliseNumber(literal: string): number | PlanNumber | undefined {
  if (literal.length > MAX_NUMBER_CHARS) return undefined
  const exact = canonicalDecimal(literal)
  if (exact === undefined) return undefined
  const double = Number(literal)
  const keepsDecimal = Number.isFinite(double) && canonicalDecimal(String(double)) === exact
  const exceedsInteger = Number.isInteger(double) && !Number.isSafeInteger(double)
  return keepsDecimal && !exceedsInteger ? double + 0 : { $number: exact }
}

/** The double nearest to a number of a plan, which may be infinite; undefined for other values. */
export function numericValue(value: PlanValue): number | undefined {
  if (typeof value === 'number') return value
  return isPlanNumber(value) ? Number(value.$number) : undefined
}

export function isPlanNumber(value: PlanValue): value is PlanNumber {
  return isDictionary(value) && Object.hasOwn(value, '$number')
}

export function isNestedCall(value: PlanValue): value is PlanNestedCall {
  return isDictionary(value) && Object.hasOwn(value, '$call')
}

/** Any plain object: a dictionary, a nested call, or a number kept as decimal. */
export function isDictionary(value: unknown): value is { readonly [key: string]: PlanValue } {
  return isPlainObject(value)
}

/** Whether a dictionary may have this key. */
export function isFreeKey(key: string): boolean {
  return !RESERVED_KEYS.has(key) && isWellFormed(key)
}

/** Throws `state/type` for what is not a plan in normal form, `state/plan-too-large` beyond the caps. */
export function assertPlan(value: unknown): asserts value is Plan {
  assertFields(value, { required: ['calls'], optional: [], what: 'a plan' })
  const { calls } = value
  if (!Array.isArray(calls)) throw notPlan('a list of calls', calls)
  if (calls.length > MAX_CALLS) throw planTooLarge(`${MAX_CALLS} calls`, calls.length)
  for (const call of calls) assertCall(call, 0)
}

export function planMalformed(message: string, position?: number): AssayError {
  const place = position === undefined ? '' : ` at character ${position}`
  return new AssayError('state/plan-malformed', `the plan cannot be read${place}: ${message}`)
}

export function planTooLarge(limit: string, got: number): AssayError {
  return new AssayError('state/plan-too-large', `expected a plan of at most ${limit}, got ${got}`)
}

/** Order by UTF-16 code units, the same in every locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function normaliseName(name: string): string {
  const normal = name.normalize('NFC').trim()
  if (normal === '' || normal.length > MAX_NAME || !isWellFormed(normal)) {
    throw planMalformed(`expected a name of 1 to ${MAX_NAME} characters, got ${describeValue(name)}`)
  }
  return normal
}

/** Sign, digits without zeros at either end, exponent: one text for each number. */
function canonicalDecimal(literal: string): string | undefined {
  const match = DECIMAL.exec(literal)
  if (match === null) return undefined
  const [, sign, whole, fraction = '', exponent = '0'] = match
  const digits = `${whole}${fraction}`
  let [start, end] = [0, digits.length]
  while (start < end && digits[start] === '0') start += 1
  while (end > start && digits[end - 1] === '0') end -= 1
  if (start === end) return '0e0'
  return `${sign}${digits.slice(start, end)}e${Number(exponent) - fraction.length + digits.length - end}`
}

function assertCall(call: unknown, depth: number): asserts call is PlanCall {
  assertFields(call, { required: ['name', 'args'], optional: ['result'], what: 'a call' })
  assertName(call.name)
  if (Object.hasOwn(call, 'result')) assertName(call.result)
  if (!Array.isArray(call.args)) throw notPlan('a list of arguments', call.args)
  if (call.args.length > MAX_ARGUMENTS) throw planTooLarge(`${MAX_ARGUMENTS} arguments`, call.args.length)
  let previous: string | undefined
  for (const argument of call.args) {
    assertFields(argument, { required: ['value'], optional: ['name'], what: 'an argument' })
    assertValue(argument.value, depth + 1)
    if (!Object.hasOwn(argument, 'name')) {
      if (previous !== undefined) throw notPlan('positional arguments before named ones', argument)
      continue
    }
    assertName(argument.name)
    if (previous !== undefined && compareText(previous, argument.name) >= 0) {
      throw notPlan('named arguments in rising order', argument.name)
    }
    previous = argument.name
  }
}

function assertValue(value: unknown, depth: number): void {
  if (depth > MAX_PLAN_DEPTH) throw planTooLarge(`${MAX_PLAN_DEPTH} levels of nesting`, depth)
  if (value === null || typeof value === 'boolean') return
  if (typeof value === 'string' && isWellFormed(value)) return
  if (typeof value === 'number') {
    if (Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value))) return
    throw notPlan('a finite number within ±(2^53 - 1), or $number', value)
  }
  if (Array.isArray(value)) {
    for (const element of value) assertValue(element, depth + 1)
    return
  }
  if (!isDictionary(value)) throw notPlan('null, a boolean, a number, text, a list or a dictionary', value)
  assertDictionary(value, depth)
}

function assertDictionary(value: { readonly [key: string]: unknown }, depth: number): void {
  if (Object.hasOwn(value, '$number')) {
    assertPlanNumber(value)
  } else if (Object.hasOwn(value, '$call')) {
    assertFields(value, { required: ['$call'], optional: [], what: 'a nested call' })
    assertCall(value.$call, depth)
  } else {
    for (const [key, field] of Object.entries(value)) {
      if (!isFreeKey(key)) throw notPlan('no reserved key', key)
      assertValue(field, depth + 1)
    }
  }
}

function assertPlanNumber(value: { readonly [key: string]: unknown }): void {
  assertFields(value, { required: ['$number'], optional: [], what: 'a number' })
  const { $number: text } = value
  const canonical =
    typeof text === 'string' && text.length <= 2 * MAX_NUMBER_CHARS && CANONICAL_DECIMAL.test(text)
  if (!canonical || canonicalDecimal(text) !== text || typeof normaliseNumber(text) === 'number') {
    throw notPlan('a number that no double holds, as canonical decimal', text)
  }
}

function assertName(name: unknown): asserts name is string {
  const normal =
    typeof name === 'string' &&
    name !== '' &&
    name.length <= MAX_NAME &&
    isWellFormed(name) &&
    name.normalize('NFC').trim() === name
  if (!normal) throw notPlan(`a trimmed name of 1 to ${MAX_NAME} characters in NFC`, name)
}

function assertFields(
  value: unknown,
  fields: {
    readonly required: readonly string[]
    readonly optional: readonly string[]
    readonly what: string
  },
): asserts value is { readonly [key: string]: unknown } {
  const { required, optional, what } = fields
  if (!isDictionary(value)) throw notPlan(what, value)
  for (const key of required) if (!Object.hasOwn(value, key)) throw notPlan(`${what} with ${key}`, value)
  for (const key of Object.keys(value)) {
    if (!required.includes(key) && !optional.includes(key)) throw notPlan(`${what} without other fields`, key)
  }
}

function notPlan(expected: string, got: unknown): AssayError {
  return new AssayError('state/type', `expected ${expected}, got ${describeValue(got)}`)
}
