/** Stable codes of the store: the database, its migrations, its queue of writes, and the blobs. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const STORE_ERRORS = {
  'store/unavailable': {
    meaning: 'The database cannot be reached, or went away in the middle; nothing was committed.',
    remedy: 'Try again with growing pauses; look at the database if that does not help.',
  },
  'store/commit-unknown': {
    meaning: 'The connection broke while a transaction committed: it may have been committed, or not.',
    remedy: 'Read the state again, or repeat the request under the same idempotency key.',
  },
  'store/timeout': {
    meaning: 'A statement, a lock or a free connection took longer than it may; nothing was committed.',
    remedy: 'Try again; if it stays, look for a long transaction, or give the pool more connections.',
  },
  'store/conflict': {
    meaning: 'A transaction met others that changed the same rows, again and again; nothing was committed.',
    remedy: 'Try again with growing pauses.',
  },
  'store/constraint': {
    meaning: 'A row broke a constraint of its table; nothing was committed.',
    remedy: 'The detail names the constraint: the caller should have looked before.',
  },
  'store/value': {
    meaning: 'A value is one that the database cannot hold, such as a text with a zero character.',
    remedy: 'Correct the value; whatever came from outside should have been refused at the edge.',
  },
  'store/full': {
    meaning: 'The disk of the database is full.',
    remedy: 'Make space; nothing was lost, and the services go on by themselves.',
  },
  'store/query': {
    meaning: 'The database refused a statement: a defect of this program, or a database of another version.',
    remedy: 'Report it with the SQL state that the detail names.',
  },
  'store/overloaded': {
    meaning: 'More work waits for the database than may wait.',
    remedy: 'Try again with growing pauses; add replicas or a faster database if it stays.',
  },
  'store/closed': {
    meaning: 'The store was closed while, or before, it was asked for something.',
    remedy: 'Ask before closing; a service that stops answers with this and is asked again elsewhere.',
  },
  'store/options': {
    meaning: 'The store was opened with an option, a name or a list of migrations out of its range.',
    remedy: 'The message names it and what it must be.',
  },
  'store/newer-schema': {
    meaning: 'The database was migrated by a newer release than this one.',
    remedy: 'Start the newer release; migrations only go forward.',
  },
  'store/changed-migration': {
    meaning: 'A migration that the database has applied is not the one of the same name in this release.',
    remedy:
      'Start the release that applied it; a change of the schema is a new migration, never an edited one.',
  },
  'store/in-use': {
    meaning: 'The folder belongs to another process that is running.',
    remedy: 'Stop that process, whose id the message names, or use another folder.',
  },
  'store/folder': {
    meaning: 'The folder cannot be used: it cannot be made or reached, or holds something else.',
    remedy: 'The message names the folder and the reason.',
  },
  'store/binaries': {
    meaning: 'There is no PostgreSQL for this machine in node_modules, or it does not start.',
    remedy: 'Install again without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own.',
  },
  'store/user': {
    meaning: 'PostgreSQL does not run as root, and there is no other user that it could run as here.',
    remedy: 'Make a user named postgres, or start the program as a user that is not root.',
  },
  'store/cluster-version': {
    meaning: 'The folder holds a database of another major version of PostgreSQL.',
    remedy:
      'Dump it with its own version and restore it into a new folder, or install the release that made it.',
  },
  'store/start-failed': {
    meaning: 'The PostgreSQL of this machine was started and ended, or did not get ready.',
    remedy: 'The message has the last lines that it logged.',
  },
  'blob/missing': {
    meaning: 'There is no such blob, or no such upload, in this store.',
    remedy: 'Upload it, or fetch it from another source; an upload may have expired.',
  },
  'blob/mismatch': {
    meaning: 'What was uploaded does not hash to its address, and was thrown away.',
    remedy: 'Compute the address over the bytes that you send, and upload again from the start.',
  },
  'blob/corrupt': {
    meaning: 'A stored blob no longer hashes to its address: the disk is failing. It was thrown away.',
    remedy: 'Fetch it again from where it came from, and look at the disk.',
  },
  'blob/offset': {
    meaning: 'A piece of an upload does not begin where the last one ended.',
    remedy: 'Ask for the state of the upload and go on at its offset.',
  },
  'blob/busy': {
    meaning: 'A piece of this upload is being written by another request.',
    remedy: 'Wait for it, then ask for the state of the upload.',
  },
  'blob/too-large': {
    meaning: 'A blob is larger than the cap, or than its upload said.',
    remedy: 'Split the value, or say its true size.',
  },
  'blob/incomplete': {
    meaning: 'An upload was finished before all of its bytes were there.',
    remedy: 'Ask for the state of the upload and send what is missing.',
  },
  'blob/range': {
    meaning: 'A range lies outside of its blob.',
    remedy: 'Ask for bytes from 0 to the size of the blob.',
  },
  'blob/full': {
    meaning: 'The store of blobs, its disk, or its list of uploads is full.',
    remedy: 'Delete blobs that nobody needs, give it more space, or try again later.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
