/** What a node is started with: options of `assay node`, their limits and defaults (service/config.ts reads them). */
import { availableParallelism, hostname } from 'node:os'
import { MAX_SLOTS } from 'assay/wire/manifest'
import { MAX_NAME, name } from 'assay/wire/text'
import { MAX_ROW_TIME_MS, WORK_KINDS } from 'assay/wire/work'
import * as z from 'zod/mini'
import type { ConfigValues, OptionSpecs } from '../service/config.ts'
import { DRAIN_TIMEOUT_MS } from '../service/lifecycle.ts'
import { CHAT_PROTOCOLS, type ChatEndpoint } from '../work/chat-endpoint.ts'

const GIB = 2 ** 30
/** Two for each core, so that one waits while another computes. */
const DEFAULT_SLOTS = Math.min(MAX_SLOTS, 2 * availableParallelism())
const MAX_COORDINATORS = 16

const url = z.url({ protocol: /^https?$/ })
const count = (most: number) => z.int().check(z.minimum(1), z.maximum(most))

export const NODE_OPTIONS = {
  coordinator: {
    schema: z.array(url).check(z.minLength(1), z.maxLength(MAX_COORDINATORS)),
    help: 'addresses of the coordinator; of its replicas, separated by commas',
  },
  enrolment: {
    schema: z.string().check(z.minLength(1), z.maxLength(256)),
    help: 'enrolment key of the operator, from the coordinator',
    secret: true,
  },
  name: {
    schema: name,
    help: 'name of the node, for people',
    default: hostname().slice(0, MAX_NAME) || 'node',
  },
  operator: { schema: name, help: 'account of the coordinator that the node earns for' },
  region: { schema: name, help: 'where the machine is', default: 'unknown' },
  slots: { schema: count(MAX_SLOTS), help: 'segments that it runs at once', default: DEFAULT_SLOTS },
  processes: {
    schema: count(256),
    help: 'processes that run models',
    default: Math.min(256, availableParallelism()),
  },
  workKinds: {
    schema: z.array(z.enum(WORK_KINDS)).check(z.minLength(1), z.maxLength(WORK_KINDS.length)),
    help: 'kinds of work that it takes; chat needs a chat endpoint',
    default: [...WORK_KINDS],
  },
  cacheFolder: { schema: z.string().check(z.minLength(1)), help: 'folder for models, modules and inputs' },
  cacheBytes: {
    schema: z.int().check(z.minimum(2 ** 20), z.maximum(2 ** 50)),
    help: 'most bytes in that folder',
    default: 10 * GIB,
  },
  chatUrl: {
    schema: z.optional(url),
    help: 'chat endpoint beside the node, such as http://127.0.0.1:8000/v1',
  },
  chatProtocol: { schema: z.enum(CHAT_PROTOCOLS), help: 'what the chat endpoint speaks', default: 'openai' },
  chatModels: {
    schema: z.array(name).check(z.maxLength(64)),
    help: 'names of the models that it serves',
    default: [],
  },
  chatToken: {
    schema: z.optional(z.string().check(z.minLength(1), z.maxLength(4096))),
    help: 'bearer token for the chat endpoint',
    secret: true,
  },
  chatParallel: { schema: count(1024), help: 'questions that it is asked at once', default: 4 },
  chatTimeoutMs: {
    schema: count(MAX_ROW_TIME_MS),
    help: 'longest that one answer may take',
    default: 120_000,
  },
  drainTimeoutMs: {
    schema: z.int().check(z.minimum(0), z.maximum(86_400_000)),
    help: 'when it is told to stop: how long it finishes what it has before it hands the rest back',
    // Less than the life cycle waits, so that handing back fits in.
    default: DRAIN_TIMEOUT_MS - 5_000,
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

export type NodeConfig = ConfigValues<typeof NODE_OPTIONS>

/** The endpoint beside the node; undefined without one. */
export function chatEndpoint(config: NodeConfig): ChatEndpoint | undefined {
  const { chatUrl: url, chatProtocol: protocol, chatModels: models, chatToken } = config
  if (url === undefined) return undefined
  const token = chatToken === undefined ? {} : { token: chatToken.reveal() }
  return { url, protocol, models, parallel: config.chatParallel, timeoutMs: config.chatTimeoutMs, ...token }
}
