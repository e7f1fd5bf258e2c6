/** Stable codes of the worker pool, and of the node that serves a network. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const EXECUTOR_ERRORS = {
  'pool/options': {
    meaning: 'A pool was asked for with a number of workers or a task module out of range.',
    remedy: 'The message names the option and its range.',
  },
  'pool/module': {
    meaning: 'A worker could not load the task: its module or export is missing, or does not give a task.',
    remedy: 'The message names the module and the reason; export the task, or a function that returns it.',
  },
  'pool/task-mismatch': {
    meaning: 'The module gives the workers another task than the one that the pool was opened for.',
    remedy:
      'Pass the module, export and arguments that make the same task, with the same version and content.',
  },
  'pool/crashed': {
    meaning:
      'A worker ended in the middle of its work: it exited, ran out of memory, or threw outside a state.',
    remedy: 'The message says how it ended; mend the task, or give the workers more memory.',
  },
  'pool/closed': {
    meaning: 'The pool was closed while, or before, it was asked for states.',
    remedy: 'Close a pool after its last run; open a new one for another.',
  },
  'node/lease-lost': {
    meaning: 'The lease of a segment is no longer the node’s: cancelled, expired, or given to another node.',
    remedy: 'Nothing is owed for it. If it happens often, the node is too slow for its number of slots.',
  },
  'node/stopping': {
    meaning: 'The node stops, and hands back what it could not finish in its time for that.',
    remedy: 'Nothing to do: the segment goes to another node, and no attempt of it is used up.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
