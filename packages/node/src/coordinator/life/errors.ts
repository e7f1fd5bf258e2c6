/** Stable codes of the life of jobs: why one is refused, and why a segment or a result ended as it did. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const LIFE_ERRORS = {
  'job/budget': {
    meaning: 'The budget of a job does not cover what it may come to cost.',
    remedy:
      'Give it segments times price, and three times that where redundancy is asked for; what is not used is refunded.',
  },
  'job/content': {
    meaning: 'The input, model or module of a job is not among the blobs of its account.',
    remedy: 'Upload the addresses that the message names, then submit again.',
  },
  'job/unverifiable': {
    meaning: 'The validation that a job asks for cannot be reached with its segments.',
    remedy: 'The message says what does not fit: use larger segments, or ask for less confidence.',
  },
  'job/segments': {
    meaning: 'A job has more segments than one job may have.',
    remedy: 'Put more rows into a segment, or submit several jobs.',
  },
  'job/poisoned': {
    meaning: 'A segment was tried as often as its job allows, and never gave a result that holds.',
    remedy: 'The message has the last reason. Look at the input of that segment, or allow more attempts.',
  },
  'job/unchecked': {
    meaning:
      'Results of two operators for one segment were drawn for the verifier, and no verifier could check them.',
    remedy: 'The message has the last reason: mostly the work needs more memory or time than verifiers have.',
  },
  'job/deadline': {
    meaning: 'The deadline of a job passed before all of its segments were accepted.',
    remedy:
      'Allow more time, or pay more nodes; what was accepted is paid and can be read, the rest is refunded.',
  },
  'job/no-operator': {
    meaning:
      'The deadline passed while segments waited for a node of one more operator, to compare results with.',
    remedy:
      'Redundancy needs nodes of two operators, and of three to settle a disagreement: wait for more of them.',
  },
  'job/cancelled': {
    meaning: 'A job was cancelled.',
    remedy: 'What was accepted before is paid; the rest was refunded.',
  },
  'result/rows': {
    meaning:
      'The output of a result is not as many rows as its segment has, or a row is larger than the work allows.',
    remedy: 'Encode one row for each row of the segment, in order (task/rows.ts).',
  },
  'result/output': {
    meaning: 'The output or proof of a result is named by an address that was not uploaded.',
    remedy: 'Upload it before the result is sent, and wait until the upload is complete.',
  },
  'result/proof': {
    meaning:
      'A result lacks the proof that its job asks for, has one that does not decode, or one that is not asked for.',
    remedy: 'Send a proof exactly where the lease names a false positive rate.',
  },
  'result/rejected': {
    meaning: 'A result was found wrong by a verifier, or lost against the results of other operators.',
    remedy: 'Nothing is paid for it, and it costs stake; the events of the node say what was found.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
