/** For tests: what a call came to, as a value. Errors other than `AssayError` are failures, and pass through. */
import { AssayError, type Json } from '../errors.ts'

export interface Outcome<T> {
  readonly value?: T
  readonly code?: string
  readonly message?: string
  readonly detail?: { readonly [key: string]: Json }
}

export function codeOf<T>(call: () => T): Outcome<T> {
  try {
    return { value: call() }
  } catch (error) {
    if (!(error instanceof AssayError)) throw error
    return error.toJSON()
  }
}
