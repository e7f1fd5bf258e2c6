/** Every migration of the database, in the order in which they are applied. New ones go to the end. */
import type { Migration } from '../migrate.ts'
import { NETWORK } from './001-network.ts'
import { AWAY } from './002-away.ts'
import { INCIDENT_OVER } from './003-incident-over.ts'
import { RETENTION } from './004-retention.ts'
import { RECEIPTS } from './005-receipts.ts'
import { EVIDENCE } from './006-evidence.ts'
import { CHECKS } from './007-checks.ts'
import { BLAME } from './008-blame.ts'
import { ADMISSION } from './009-admission.ts'

export const MIGRATIONS: readonly Migration[] = [
  { name: '001-network', statements: NETWORK },
  { name: '002-away', statements: AWAY },
  { name: '003-incident-over', statements: INCIDENT_OVER },
  { name: '004-retention', statements: RETENTION },
  { name: '005-receipts', statements: RECEIPTS },
  { name: '006-evidence', statements: EVIDENCE },
  { name: '007-checks', statements: CHECKS },
  { name: '008-blame', statements: BLAME },
  { name: '009-admission', statements: ADMISSION },
]
