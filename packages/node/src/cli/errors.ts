/** Stable codes of the command line. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const CLI_ERRORS = {
  'cli/usage': {
    meaning: 'An option or argument is missing, unknown, or not of its form.',
    remedy: 'Run the command with --help: it lists the options and shows an example.',
  },
  'cli/file-missing': {
    meaning: 'A file or folder that the command reads is not there, or may not be read.',
    remedy: 'Check the path that the message names.',
  },
  'cli/file-too-large': {
    meaning: 'A file is larger than the cap for its kind.',
    remedy: 'Check that it is the right file; the message names the cap.',
  },
  'cli/file-malformed': {
    meaning: 'A file of your own is not what the command reads there, such as a key or a request.',
    remedy: 'The message says what was expected. Pass the file that this program wrote, unchanged.',
  },
  'cli/write': {
    meaning: 'A file cannot be written.',
    remedy: 'Check the folder, its permissions and the space left; the message names the path.',
  },
  'cli/file-exists': {
    meaning: 'A file that would be overwritten is one that could not be made again.',
    remedy: 'Name another file, or move the old one away first.',
  },
  'cli/books': {
    meaning: 'The ledger of a coordinator does not balance: its database was changed by something else.',
    remedy: 'Stop the coordinators, keep a copy of the database, and restore the last backup that balances.',
  },
  'cli/log': {
    meaning:
      'The log of a coordinator or its receipts are not whole: their records were changed by something else.',
    remedy:
      'Stop the coordinators, keep a copy of the database, and restore the last backup that is sound; tell those who rely on receipts.',
  },
  'cli/blobs': {
    meaning: 'Blobs that the records of a network name are not in its folder of blobs.',
    remedy:
      'Copy them back from a backup of the folder, or let their owners upload them again; jobs that need them fail until then.',
  },
  'cli/internal': {
    meaning: 'The program failed in a way that it does not know: a defect of its own.',
    remedy: 'Run it again with DEBUG=1 to see where, and report that with the command that you ran.',
  },
  'run/incomplete': {
    meaning: 'A part of what the solver hands over is not in the run folder.',
    remedy: 'Ask the solver for the whole folder; without all parts nothing is verified.',
  },
  'run/other-request': {
    meaning: 'The run was made for another request: another model, input, runtime, batch mode or tolerance.',
    remedy:
      'Pass the files and options of the request; if you did, the solver ran something else: reject it.',
  },
  'run/other-job': {
    meaning: 'The run is signed for another nonce or request id than the one that you gave out.',
    remedy: 'Reject the run: it may be an old one, or one made for somebody else.',
  },
  'run/other-solver': {
    meaning: 'The run is signed by another node than the one demanded.',
    remedy: 'Reject the run, or ask for one by the solver that you chose.',
  },
  'run/malformed': {
    meaning: 'A part of what the solver handed over is not what its format requires.',
    remedy: 'Reject the run; its solver sent something that nobody can read.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
