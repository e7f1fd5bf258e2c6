/** Who failed at a run, until another delivers it, and how often it was given back for nothing (coordinator/life/give-back.ts). */
export const BLAME = [
  `ALTER TABLE dispatch ADD COLUMN failed_by jsonb`,
  `ALTER TABLE dispatch ADD COLUMN free_returns smallint NOT NULL DEFAULT 0`,
] as const
