/**
 * Tool calls as the interfaces of model vendors give them, to plans.
 *
 *     { "type": "function", "function": { "name": "f", "arguments": "{\"x\": 1}" } }    OpenAI, chat completions
 *     { "type": "function_call", "name": "f", "arguments": "{\"x\": 1}" }               OpenAI, responses
 *     { "type": "tool_use", "name": "f", "input": { "x": 1 } }                          Anthropic
 *     { "name": "f", "arguments" | "args" | "parameters" | "input": { "x": 1 } or [1] } open models
 *
 * One such object, a list of them, or a message around the list (`tool_calls`, `content`, `choices`, `output`,
 * `message`, `calls`, `plan`, `steps`). List elements that are no calls (text, thinking) are passed over; ids
 * are dropped, since they differ from run to run.
 */
import {
  isDictionary,
  normaliseCall,
  type Plan,
  type PlanArgument,
  type PlanCall,
  type PlanValue,
  planMalformed,
} from './plan.ts'
import { cursorAt, readJson, skipSpace } from './plan-value.ts'

const ARGUMENT_FIELDS = ['arguments', 'args', 'parameters', 'input'] as const
const WRAPPERS = ['tool_calls', 'content', 'choices', 'output', 'message', 'calls', 'plan', 'steps'] as const
const CALL_TYPES = ['function', 'function_call', 'tool_use']

/** JSON text, one value or several after another, read strictly. Throws `state/plan-malformed`. */
export function readJsonValues(text: string): readonly PlanValue[] {
  const cursor = cursorAt(text, 'json')
  const values: PlanValue[] = []
  do {
    values.push(readJson(cursor))
    skipSpace(cursor)
  } while (cursor.position < text.length)
  return values
}

/** The calls in a JSON value, in order; none where it holds no tool calls. Throws `state/plan-malformed`. */
export function toolCalls(value: PlanValue): Plan['calls'] {
  if (Array.isArray(value)) return value.flatMap(toolCalls)
  if (!isDictionary(value)) return []
  const call = toolCall(value)
  if (call !== undefined) return [call]
  return WRAPPERS.flatMap((field) => (Object.hasOwn(value, field) ? toolCalls(value[field]!) : []))
}

function toolCall(value: { readonly [key: string]: PlanValue }): PlanCall | undefined {
  const { function: inner, type } = value
  if (isDictionary(inner)) return namedCall(inner, { mayLackArguments: true })
  return namedCall(value, { mayLackArguments: typeof type === 'string' && CALL_TYPES.includes(type) })
}

/** Without a type that says so, an object with a name alone is no call: it may be anything. */
function namedCall(
  value: { readonly [key: string]: PlanValue },
  { mayLackArguments }: { readonly mayLackArguments: boolean },
): PlanCall | undefined {
  const { name } = value
  if (typeof name !== 'string' || describesTool(value)) return undefined
  const fields = ARGUMENT_FIELDS.filter((field) => Object.hasOwn(value, field))
  if (fields.length > 1) throw planMalformed(`a call has both ${fields.join(' and ')}`)
  const [field] = fields
  if (field === undefined) return mayLackArguments ? normaliseCall({ name, args: [] }) : undefined
  return normaliseCall({ name, args: readArguments(value[field]!) })
}

/** The description of a tool has a name and parameters too, but they are a schema. */
function describesTool(value: { readonly [key: string]: PlanValue }): boolean {
  const { parameters } = value
  return (
    Object.hasOwn(value, 'description') ||
    Object.hasOwn(value, 'input_schema') ||
    (isDictionary(parameters) && Object.hasOwn(parameters, 'properties'))
  )
}

function readArguments(value: PlanValue): readonly PlanArgument[] {
  if (typeof value === 'string') {
    if (value.trim() === '') return []
    const [parsed, ...more] = readJsonValues(value)
    if (more.length > 0 || typeof parsed === 'string')
      throw planMalformed('arguments are not one JSON object')
    return readArguments(parsed!)
  }
  if (value === null) return []
  if (Array.isArray(value)) return value.map((element) => ({ value: element }))
  if (isDictionary(value) && !Object.hasOwn(value, '$number')) {
    return Object.entries(value).map(([name, field]) => ({ name, value: field }))
  }
  throw planMalformed('arguments are neither an object nor a list')
}
