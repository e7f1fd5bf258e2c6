/**
 * Incidents end when a sweep says so: whoever reads them needs no clock. One that is pausing keeps its cohort from work:
 * those of before did not.
 */
export const INCIDENT_OVER = [
  `ALTER TABLE incident ADD COLUMN is_over boolean NOT NULL DEFAULT false`,
  `ALTER TABLE incident ADD COLUMN is_pausing boolean NOT NULL DEFAULT false`,
  `UPDATE incident SET is_over = true WHERE until <= now()`,
  `CREATE INDEX incident_not_over ON incident (id) WHERE NOT is_over`,
] as const
