/** Options of a coordinator, for flags, environment and file (service/config.ts). */

import * as z from 'zod/mini'
import { type ConfigSources, type ConfigValues, type OptionSpecs, readConfig } from '../service/config.ts'

const GIB = 2 ** 30
const bytes = z.int().check(z.minimum(1), z.maximum(Number.MAX_SAFE_INTEGER))
const amount = z.int().check(z.minimum(0), z.maximum(1e12))

export const COORDINATOR_OPTIONS = {
  databaseUrl: {
    schema: z.string().check(z.regex(/^postgres(ql)?:\/\//, 'a URL postgres://…')),
    help: 'PostgreSQL that this coordinator shares with its replicas',
    secret: true,
    env: 'DATABASE_URL',
  },
  databaseConnections: {
    schema: z.int().check(z.minimum(2), z.maximum(1000)),
    help: 'connections to the database at most',
    default: 16,
  },
  blobFolder: {
    schema: z.string().check(z.minLength(1), z.maxLength(4096)),
    help: 'folder of models, inputs and outputs; replicas share it',
  },
  blobBytes: { schema: bytes, help: 'bytes that all blobs may take', default: 64 * GIB },
  maxBlobBytes: { schema: bytes, help: 'bytes of one blob at most', default: 16 * GIB },
  host: {
    schema: z.string().check(z.minLength(1), z.maxLength(255)),
    help: 'address to listen on; all of the machine with 0.0.0.0',
    default: '127.0.0.1',
  },
  port: {
    schema: z.int().check(z.minimum(0), z.maximum(65_535)),
    help: 'port to listen on; 0 takes any that is free',
    default: 8700,
  },
  networkName: {
    schema: z.string().check(z.regex(/^[^\p{Cc}\p{Cs}]{1,128}$/u, 'a name of at most 128 characters')),
    help: 'name of the network, for people',
    default: 'assay',
  },
  logOrigin: {
    schema: z.optional(
      z.string().check(z.regex(/^[a-z0-9][a-z0-9./:-]{0,127}$/, 'a name like log.example/assay')),
    ),
    help: 'name of the transparency log, which no other log has; made of the coordinator’s key unless given',
  },
  keyFile: {
    schema: z.optional(z.string().check(z.minLength(1), z.maxLength(4096))),
    help: 'key that signs receipts, as `assay key new` writes it; kept in the database unless given',
  },
  minStake: { schema: amount, help: 'credits that a node should have staked', default: 1_000 },
  penalty: { schema: amount, help: 'credits of its stake that one proven fault costs a node', default: 500 },
  canariesPerHour: {
    schema: z.number().check(z.minimum(0), z.maximum(3_600)),
    help: 'jobs with known answers that are mixed into the others, on average, once there are some; 0 for none',
    default: 6,
  },
  keepDays: {
    schema: z.int().check(z.minimum(0), z.maximum(36_500)),
    help: 'days that events, and rows and blobs of jobs that have ended, are kept; 0 for ever',
    default: 0,
  },
  maxEventStreams: {
    schema: z.int().check(z.minimum(1), z.maximum(100_000)),
    help: 'streams of events that may be open at once',
    default: 1_000,
  },
} as const satisfies OptionSpecs

export type CoordinatorConfig = ConfigValues<typeof COORDINATOR_OPTIONS>

/** @throws AssayError `config/…`. */
export function readCoordinatorConfig(sources: ConfigSources): CoordinatorConfig {
  return readConfig(COORDINATOR_OPTIONS, sources).values
}
