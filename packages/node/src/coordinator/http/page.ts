/** Pages of lists. */
import type { PageOptions } from '../ledger-read.ts'

/** Where nothing is asked. */
const DEFAULT_LIMIT = 100

export function pageOptions({
  cursor,
  limit = DEFAULT_LIMIT,
}: {
  readonly cursor?: string | undefined
  readonly limit?: number | undefined
}): PageOptions {
  return cursor === undefined ? { limit } : { cursor, limit }
}

/** A page as the schemas type it. */
export function pageAnswer<T>({
  items,
  nextCursor,
}: {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}): { items: T[]; nextCursor: string | null } {
  return { items: [...items], nextCursor }
}
