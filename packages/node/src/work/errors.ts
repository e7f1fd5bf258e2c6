/** Stable codes of computing rows: what a node reports when it cannot, and what a verifier hands a check back with. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const WORK_ERRORS = {
  'work/unsupported': {
    meaning: 'This machine cannot run that kind of work: it lacks the endpoint or the model that it needs.',
    remedy: 'Run it on a machine that has it, or name the endpoint and its models in the configuration.',
  },
  'work/rows': {
    meaning: 'The input does not have the rows that the segment names.',
    remedy: 'Submit the job again with the number of rows that its input has.',
  },
  'work/output-too-large': {
    meaning: 'A row, or all rows of a segment together, are larger than their cap.',
    remedy: 'Cut the job into smaller segments; what is larger still belongs behind an address.',
  },
  'work/crashed': {
    meaning:
      'The process that computed the rows ended in the middle: out of memory, or a fault of the runtime.',
    remedy: 'The message says how it ended. Try a smaller model or input, or a machine with more memory.',
  },
  'work/timeout': {
    meaning: 'A row took longer than it may.',
    remedy: 'Use a smaller model or shorter answers, or a faster machine.',
  },
  'work/closed': {
    meaning: 'The machine stopped computing while, or before, it was asked for rows.',
    remedy: 'Ask another machine; this one is stopping.',
  },
  'work/endpoint': {
    meaning: 'The chat endpoint beside the node cannot be reached, or answers with an error.',
    remedy: 'The message has its answer. Check that it runs, and that the model is there under that name.',
  },
  'work/answer': {
    meaning: 'The chat endpoint answered with something else than a completion, or with too much of it.',
    remedy: 'Check that the endpoint speaks the protocol that the configuration names.',
  },
  'work/download': {
    meaning: 'A model, module or input cannot be fetched, or what came is not what its address names.',
    remedy: 'The message names the address and the reason; another machine may have it.',
  },
  'work/cache-full': {
    meaning: 'What the work needs does not fit into the cache beside what is in use.',
    remedy: 'Give the cache more room, or fewer slots to the node.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
