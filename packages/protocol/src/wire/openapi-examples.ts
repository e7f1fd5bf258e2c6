/** Examples in the OpenAPI document: one request and one answer where seeing one helps. A test parses each. */
import type { Json } from '../core/errors.ts'

const CID = 'bafkreidon73zkcrwdb5iafqtijxildoonbwnpv7dyd6ef3qdgads2jc4su'
const JOB_ID = '01928c4e-7b1a-7c3d-9e2f-3a4b5c6d7e8f'
const DISPATCH_ID = '01928c4e-7b1b-7aaa-8bbb-0123456789ab'
const NODE_ID = '4f6c1d0e9b8a7f6e5d4c3b2a190817263544536271809f8e7d6c5b4a39281706'
const DIGEST = '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'
const NONCE = '60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752'
const SIGNATURE = 'jI1g0V0oZ4m9kq1n9ZqkC5m0m3m4x8o2B7d2m1W4uUeR3l8yTz6bXn5rQw0sYv7cF1hK2jL3aD4gP5iO6uI7AA=='

const spec: Json = {
  name: 'digits',
  work: { kind: 'onnx', model: CID, runtime: 'reproducible', batch: 'first-axis' },
  input: { cid: CID },
  rows: 1000,
  segmentRows: 50,
  validation: {
    sampling: { share: 1, confidence: 0.99, fakedShare: 0.1, falsePositiveRate: 0.01, guessProbability: 0.1 },
    redundancy: { share: 0.1 },
  },
  pricePerSegment: 10,
  budget: 600,
  priority: 5,
  deadlineSeconds: 3600,
  leaseSeconds: 30,
  maxAttempts: 5,
}

const segment: Json = { id: DISPATCH_ID, fence: 1, from: 0, to: 50, nonce: NONCE }

export const EXAMPLES: {
  readonly [operation: string]: { readonly body?: Json; readonly response?: Json }
} = {
  beginBlob: {
    body: { cid: CID, sizeBytes: 26_454 },
    response: { cid: CID, sizeBytes: 26_454, storedBytes: 0, complete: false },
  },
  submitJob: {
    body: spec,
    response: {
      id: JOB_ID,
      state: 'running',
      spec,
      segments: { total: 20, queued: 20, leased: 0, committed: 0, accepted: 0, poisoned: 0 },
      audits: 0,
      faults: 0,
      seedCommitment: DIGEST,
      reason: null,
      escrow: 600,
      spent: 0,
      submittedAt: '2026-01-01T12:00:00.000Z',
      deadlineAt: '2026-01-01T13:00:00.000Z',
      endedAt: null,
      outputRoot: null,
      receipt: 'none',
    },
  },
  heartbeat: {
    body: { running: 1, freeSlots: 3, cacheBytes: 1_048_576 },
    response: { drain: false, serverTime: '2026-01-01T12:00:00.000Z' },
  },
  lease: {
    body: { max: 8, waitMs: 20_000 },
    response: {
      groups: [
        {
          jobId: JOB_ID,
          work: { kind: 'onnx', model: CID, runtime: 'reproducible', batch: 'first-axis' },
          input: { cid: CID },
          inputCid: CID,
          falsePositiveRate: 0.01,
          guessProbability: 0.1,
          leaseSeconds: 30,
          deadlineAt: '2026-01-01T13:00:00.000Z',
          segments: [segment],
        },
      ],
      drain: false,
    },
  },
  results: {
    body: {
      signature: SIGNATURE,
      results: [{ id: DISPATCH_ID, fence: 1, commitment: DIGEST, output: { cid: CID }, elapsedMs: 12.5 }],
    },
    response: { outcomes: [{ id: DISPATCH_ID, state: 'committed', code: null, message: null }] },
  },
  makeKey: { body: { account: 'alice', scopes: ['jobs:write', 'jobs:read'] } },
  deposit: {
    body: { account: 'submitter:alice', amount: 10_000, note: 'first month' },
    response: { account: 'submitter:alice', balance: 10_000 },
  },
  showNode: {
    response: {
      id: NODE_ID,
      manifest: {
        role: 'solver',
        publicKey: { type: 'ed25519', bytes: DIGEST },
        name: 'cellar-1',
        operator: 'bob',
        region: 'eu',
        engine: 'assay-node/0.1.0',
        hardware: { tier: 3, cores: 8, memoryBytes: 17_179_869_184, score: 1200 },
        runtimes: ['reproducible', 'native', 'wasm'],
        workKinds: ['onnx', 'wasm'],
        chatModels: [],
        slots: 8,
      },
      state: 'online',
      standing: 'trusted',
      auditRate: 0.05,
      stake: 1000,
      balance: 480,
      held: 20,
      leases: 2,
      accepted: 50,
      faults: 0,
      registeredAt: '2026-01-01T11:00:00.000Z',
      lastSeenAt: '2026-01-01T12:00:00.000Z',
      decisions: [
        { at: '2026-01-01T11:40:00.000Z', code: 'promoted', reason: '40 clean audits: trusted from now on' },
      ],
    },
  },
}
