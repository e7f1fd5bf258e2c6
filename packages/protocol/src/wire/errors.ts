/** Stable codes of the public protocol: what services answer, and what the client throws. */
import type { ErrorCode, ErrorEntry } from '../core/errors.ts'

export const WIRE_ERRORS = {
  'wire/malformed': {
    meaning: 'A message does not have the shape that the protocol asks for.',
    remedy: 'The message names the field; compare with the OpenAPI document that the coordinator serves.',
  },
  'wire/too-large': {
    meaning: 'A message or a part of it is larger than its cap.',
    remedy: 'Send large values as blobs by content address, and long lists in several requests.',
  },
  'wire/unauthenticated': {
    meaning: 'The request carries no credentials, or some that are unknown, expired or revoked.',
    remedy: 'Send an API key as a bearer token, or sign the request with the key of a registered node.',
  },
  'wire/forbidden': {
    meaning: 'The credentials are good, and do not allow this.',
    remedy: 'Use a key with the scope that the message names.',
  },
  'wire/signature': {
    meaning: 'The signature of a request does not hold, is too old, or was used before.',
    remedy: 'Sign each request anew with a fresh nonce, and keep the clock within a minute of the true time.',
  },
  'wire/not-found': {
    meaning: 'There is no such thing, or it belongs to somebody else.',
    remedy: 'Check the id, and that the key is of the account that made it.',
  },
  'wire/conflict': {
    meaning: 'The request does not fit the present state of what it names.',
    remedy: 'Read the present state and decide again; the message names it.',
  },
  'wire/quota': {
    meaning: 'A quota of the account is used up, or its balance does not cover the budget.',
    remedy: 'Wait as long as Retry-After says, ask for a larger quota, or deposit credits.',
  },
  'wire/stale': {
    meaning: 'The fencing token is not that of the lease as it stands: it expired and went to another node.',
    remedy: 'Drop the work; nothing is owed for it, and nothing is held against the node.',
  },
  'wire/unavailable': {
    meaning: 'The service cannot answer now: it starts, stops, is overloaded or cannot be reached.',
    remedy: 'Try again with growing pauses; nothing was changed, or the idempotency key makes it safe.',
  },
  'wire/answer': {
    meaning:
      'An answer is not one that the protocol knows, or not one to what was asked: another program or version answers.',
    remedy: 'Check the address of the coordinator, and what stands between it and you.',
  },
  'wire/receipt': {
    meaning:
      'A receipt that holds is that of another job, input, validation or seed than was agreed at submission.',
    remedy:
      'Do not take it for the receipt of this job; ask the coordinator again, and tell others if it stays.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
