/** Stable codes of the transparency log. */
import type { ErrorCode, ErrorEntry } from '../../core/errors.ts'

export const LOG_ERRORS = {
  'log/malformed': {
    meaning: 'A checkpoint, a leaf or a proof of the transparency log does not have its one form.',
    remedy: 'Fetch it again from the log; if it comes the same, the log is faulty or hostile.',
  },
  'log/key': {
    meaning: 'The name or the key of a log cannot sign checkpoints.',
    remedy: 'Use an Ed25519 key and a name of 1 to 255 printable characters without spaces and plus signs.',
  },
  'log/signature': {
    meaning: 'A checkpoint is not signed by the log that it was expected from, or is of another log.',
    remedy: 'Reject it: it was altered, or comes from somebody else. Check origin and public key of the log.',
  },
  'log/inclusion': {
    meaning: 'The proof does not show that the entry is in the log that the checkpoint signs.',
    remedy: 'Ask the log for the proof again; if it comes the same, the log does not have this entry.',
  },
  'log/consistency': {
    meaning: 'The proof does not show that the newer checkpoint continues the older one.',
    remedy: 'Keep both checkpoints and ask again; a log that cannot prove it has rewritten its history.',
  },
  'log/evidence': {
    meaning: 'What is said to show that a log has rewritten or shortened its history does not show it.',
    remedy:
      'Reject the accusation; it needs two checkpoints that the log signed and that contradict each other.',
  },
  'log/frontier': {
    meaning: 'The stored nodes of a log are not those that its size needs, or one of them is missing.',
    remedy: 'Repair the store from the leaves: every node follows from them.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
