/** Stable codes of the coordinator's books: credits, nodes, accounts, events, receipts. */
import type { ErrorCode, ErrorEntry } from 'assay/core/errors'

export const COORDINATOR_ERRORS = {
  'ledger/insufficient': {
    meaning: 'An account does not hold the credits that a transfer takes from it; nothing was moved.',
    remedy: 'The message names the account and what is missing: deposit credits, or ask for less.',
  },
  'ledger/amount': {
    meaning:
      'An amount is not a whole number of credits from 0 on, or a balance would get too large to count.',
    remedy: 'Use whole credits; all balances together stay below 2^53.',
  },
  'ledger/account': {
    meaning: 'The name is not that of an account, or a transfer would go from an account to itself.',
    remedy: 'Use submitter:NAME, node:ID, stake:ID, held:ID, escrow, penalties, audit-fund or issued.',
  },
  'coordinator/key': {
    meaning:
      'The key that a network signs receipts and its log with is missing, is another one, or is not Ed25519.',
    remedy: 'Start each replica with the key that the network began with; the message says which that is.',
  },
  'canary/answers': {
    meaning:
      'Known answers cannot be made of this: the job is not accepted and audited in full, or they do not fit it.',
    remedy: 'Take a job of which every segment was compared, or give as many answers as it has rows.',
  },
  'backup/malformed': {
    meaning: 'The lines are no whole backup of this release: cut short, altered, or made by another release.',
    remedy: 'Restore with the release that made it, or take another backup; nothing was written.',
  },
  'backup/not-empty': {
    meaning: 'A backup goes into a database that was migrated and never used, and this one was used.',
    remedy: 'Make a new database for it.',
  },
} as const satisfies { readonly [code: ErrorCode]: ErrorEntry }
