/** What a verifier is started with (service/config.ts reads it). */
import { availableParallelism, hostname } from 'node:os'
import { MAX_NAME, name } from 'assay/wire/text'
import { MAX_VERIFICATIONS } from 'assay/wire/verification'
import * as z from 'zod/mini'
import type { ConfigValues, OptionSpecs } from '../service/config.ts'

const GIB = 2 ** 30
const url = z.url({ protocol: /^https?$/ })

export const VERIFIER_OPTIONS = {
  coordinator: { schema: url, help: 'address of the coordinator' },
  enrolment: {
    schema: z.string().check(z.minLength(1), z.maxLength(256)),
    help: 'enrolment key with the scope verifiers:enrol, from the coordinator',
    secret: true,
  },
  name: {
    schema: name,
    help: 'name of the verifier, for people',
    default: hostname().slice(0, MAX_NAME) || 'verifier',
  },
  operator: { schema: name, help: 'account that it belongs to' },
  region: { schema: name, help: 'where the machine is', default: 'unknown' },
  parallel: {
    schema: z.int().check(z.minimum(1), z.maximum(MAX_VERIFICATIONS)),
    help: 'checks at once',
    default: Math.min(MAX_VERIFICATIONS, 2 * availableParallelism()),
  },
  processes: {
    schema: z.int().check(z.minimum(1), z.maximum(256)),
    help: 'processes that run models',
    default: Math.min(256, availableParallelism()),
  },
  cacheFolder: { schema: z.string().check(z.minLength(1)), help: 'folder for models, modules and inputs' },
  cacheBytes: {
    schema: z.int().check(z.minimum(2 ** 20), z.maximum(2 ** 50)),
    help: 'most bytes in that folder',
    default: 10 * GIB,
  },
  statusPort: {
    schema: z.optional(z.int().check(z.minimum(0), z.maximum(65_535))),
    help: 'port for /healthz, /readyz and /metrics; none without it',
  },
  statusHost: {
    schema: z.string().check(z.minLength(1), z.maxLength(255)),
    help: 'where that port listens',
    default: '127.0.0.1',
  },
} as const satisfies OptionSpecs

export type VerifierConfig = ConfigValues<typeof VERIFIER_OPTIONS>
