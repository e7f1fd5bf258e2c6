/**
 * Receipts are stored as they are: their base64 gets no smaller by compression, and trying took longer than storing.
 * Those of before stay as they were stored.
 */
export const RECEIPTS = [`ALTER TABLE receipt ALTER COLUMN envelope SET STORAGE EXTERNAL`] as const
