/**
 * What went wrong in the database, as one of our codes.
 *
 * PostgreSQL tells by SQLSTATE (appendix A of its manual); everything else comes from the connection. The server's
 * `detail` field is left out: it repeats rows.
 */
import { AssayError, type ErrorCode } from 'assay/core/errors'
import { DatabaseError } from 'pg'

/** Of states, or of their classes (the first two characters). The more exact wins. */
const CODES: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ['08', 'store/unavailable'],
  ['57P01', 'store/unavailable'],
  ['57P02', 'store/unavailable'],
  ['57P03', 'store/unavailable'],
  ['57P05', 'store/unavailable'],
  // A standby that took over, and does not write yet.
  ['25006', 'store/unavailable'],
  ['28', 'store/unavailable'],
  ['3D', 'store/unavailable'],
  ['53', 'store/unavailable'],
  ['58', 'store/unavailable'],
  ['53100', 'store/full'],
  ['57014', 'store/timeout'],
  ['55P03', 'store/timeout'],
  ['25P03', 'store/timeout'],
  ['25P04', 'store/timeout'],
  ['40', 'store/conflict'],
  ['23', 'store/constraint'],
  ['22', 'store/value'],
])

/** What the driver says when a time runs out on our side. */
const TIMED_OUT = /^(timeout exceeded when trying to connect|Query read timeout)/

export interface Fault {
  readonly error: AssayError
  /** The connection is of no more use. */
  readonly isFatal: boolean
  /** The transaction may go through when it is run again. */
  readonly isRetryable: boolean
}

/** `doing` names the statement, for the message. */
export function faultOf(cause: unknown, doing: string): Fault {
  if (cause instanceof AssayError) return { error: cause, isFatal: false, isRetryable: false }
  if (!(cause instanceof DatabaseError) || cause.code === undefined) return connectionFault(cause, doing)
  const state = cause.code
  if (isStalePlan(cause)) {
    const error = new AssayError(
      'store/conflict',
      `${doing}: the schema changed under a prepared statement`,
      {
        cause,
      },
    )
    return { error, isFatal: true, isRetryable: true }
  }
  const code = CODES.get(state) ?? CODES.get(state.slice(0, 2)) ?? 'store/query'
  const detail: { [name: string]: string } = { sqlState: state }
  if (cause.constraint !== undefined) detail.constraint = cause.constraint
  if (cause.table !== undefined) detail.table = cause.table
  return {
    error: new AssayError(code, `${doing}: ${cause.message}`, { detail, cause }),
    isFatal: code === 'store/unavailable' || state === '25P03',
    isRetryable: code === 'store/conflict',
  }
}

/** Statements are prepared once for each connection; a migration meanwhile may have changed what they return. */
function isStalePlan({ code, routine }: DatabaseError): boolean {
  return (code === '0A000' && routine === 'RevalidateCachedQuery') || code === '26000'
}

function connectionFault(cause: unknown, doing: string): Fault {
  const reason = reasonOf(cause)
  // Thrown by a parser of ours (pg-types.ts) or by a caller's own code: no fault of the connection.
  const isOurs = cause instanceof RangeError || cause instanceof TypeError
  const code = isOurs ? 'store/value' : TIMED_OUT.test(reason) ? 'store/timeout' : 'store/unavailable'
  return {
    error: new AssayError(code, `${doing}: ${reason}`, { cause }),
    isFatal: !isOurs,
    isRetryable: false,
  }
}

/** Connecting to a name with several addresses fails with one error for all of them, whose message is empty. */
function reasonOf(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return reasonOf(cause.errors[0])
  if (cause instanceof Error) return cause.message || cause.name
  return String(cause)
}
