/**
 * Reading what a coordinator answers. A later version may add fields to its answers (removing or changing some
 * takes another major version): fields that this version does not know are dropped, everything else is checked.
 *
 * Threat: answers come from anybody. Depth is bounded by the schema; what is dropped was never looked into.
 */
import * as z from 'zod/mini'
import { parseWith } from '../core/codec.ts'
import { AssayError } from '../core/errors.ts'

type Issue = z.core.$ZodIssue

/** Rounds of dropping: a union hides what is unknown below it until the level above is clean. */
const MAX_ROUNDS = 8

/** `value` as the schema has it; `what` names it in the message. Throws `wire/answer`. Leaves `value` as it is. */
export function parseAnswer<T>(schema: z.ZodMiniType<T>, value: unknown, what: string): T {
  let current = value
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = z.safeParse(schema, current)
    if (result.success) return result.data
    const unknown = unknownFields(result.error.issues)
    if (unknown.length === 0) break
    if (round === 0) current = structuredClone(current)
    for (const path of unknown) drop(current, path)
  }
  try {
    return parseWith(schema, current, what)
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    throw new AssayError('wire/answer', error.message, { detail: error.detail, cause: error })
  }
}

/** Paths of fields that the schema does not know; in a union those of the branches that nothing else is wrong with. */
function unknownFields(issues: readonly Issue[], base: readonly PropertyKey[] = []): PropertyKey[][] {
  return issues.flatMap((issue) => {
    const path = [...base, ...issue.path]
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...path, key])
    if (issue.code !== 'invalid_union') return []
    const branch = issue.errors.find((errors) => errors.length > 0 && errors.every(isUnknownOnly))
    return branch === undefined ? [] : unknownFields(branch, path)
  })
}

function isUnknownOnly(issue: Issue): boolean {
  if (issue.code === 'unrecognized_keys') return true
  return issue.code === 'invalid_union' && issue.errors.some((errors) => errors.every(isUnknownOnly))
}

function drop(value: unknown, path: readonly PropertyKey[]): void {
  let parent = value
  for (const key of path.slice(0, -1)) parent = (parent as { readonly [key: PropertyKey]: unknown })?.[key]
  const last = path[path.length - 1]
  if (typeof parent === 'object' && parent !== null && last !== undefined) {
    delete (parent as { [key: PropertyKey]: unknown })[last]
  }
}
