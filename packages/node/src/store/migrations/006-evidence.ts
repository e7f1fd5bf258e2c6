/** What stands beside a receipt when the runs of its job are deleted (coordinator/retention.ts); it is compressed already. */
export const EVIDENCE = [
  `ALTER TABLE receipt ADD COLUMN evidence bytea`,
  `ALTER TABLE receipt ALTER COLUMN evidence SET STORAGE EXTERNAL`,
] as const
