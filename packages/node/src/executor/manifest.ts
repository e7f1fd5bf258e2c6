/** What this node says of itself to the coordinator: made of its configuration and of what its machine has. */
import { createRequire } from 'node:module'
import { toHex } from 'assay/core/bytes'
import type { PublicKey } from 'assay/core/keys'
import type { Manifest } from 'assay/wire/manifest'
import type { WorkKind } from 'assay/wire/work'
import type { Hardware } from './benchmark.ts'
import type { NodeConfig } from './config.ts'

export interface ManifestParts {
  readonly publicKey: PublicKey
  readonly hardware: Hardware
}

export function nodeManifest(config: NodeConfig, { publicKey, hardware }: ManifestParts): Manifest {
  const workKinds = workKindsOf(config)
  return {
    role: 'solver',
    publicKey: { type: publicKey.type, bytes: toHex(publicKey.bytes) },
    name: config.name,
    operator: config.operator,
    region: config.region,
    engine: engineOf(),
    hardware,
    runtimes: workKinds.flatMap((kind) => RUNTIMES[kind]),
    workKinds: [...workKinds],
    chatModels: workKinds.includes('chat') ? [...config.chatModels] : [],
    slots: config.slots,
  }
}

const RUNTIMES = {
  onnx: ['reproducible', 'native'],
  wasm: ['wasm'],
  chat: ['chat'],
} as const satisfies { readonly [kind in WorkKind]: readonly Manifest['runtimes'][number][] }

/** Chat only where there is an endpoint for it. */
function workKindsOf({ workKinds, chatUrl }: NodeConfig): readonly WorkKind[] {
  return workKinds.filter((kind) => kind !== 'chat' || chatUrl !== undefined)
}

/** Nodes of one engine may fail together: this program, and what runs it. */
function engineOf(): string {
  const own = createRequire(import.meta.url)('@assay/node/package.json') as { readonly version: string }
  return `assay ${own.version}, node ${process.versions.node}`
}
