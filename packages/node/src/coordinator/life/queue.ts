/**
 * Queues: what a node must be able to run, and for whom a dispatch is kept. A node asks for the heads of its queues;
 * nothing that it cannot or must not have is ever looked at, so that a lease costs the same however long they are.
 */
import type { Manifest, NodeView } from 'assay/wire/manifest'
import type { WorkSpec } from 'assay/wire/work'

/** What is reserved for nobody in particular. */
const ANYBODY = ''

/** The queue of a kind of work. */
export function queueOf(work: WorkSpec): string {
  switch (work.kind) {
    case 'onnx':
      return `onnx/${work.runtime}`
    case 'wasm':
      return 'wasm'
    case 'chat':
      return `chat/${work.model}`
  }
}

/** What a node of the manifest can run; it is believed, and fails what it cannot. */
export function queuesOf({
  workKinds,
  runtimes,
  chatModels,
}: Pick<Manifest, 'workKinds' | 'runtimes' | 'chatModels'>): string[] {
  const onnx = (['reproducible', 'native'] as const).filter((runtime) => runtimes.includes(runtime))
  return [
    ...(workKinds.includes('onnx') ? onnx.map((runtime) => `onnx/${runtime}`) : []),
    ...(workKinds.includes('wasm') && runtimes.includes('wasm') ? ['wasm'] : []),
    ...(workKinds.includes('chat') && runtimes.includes('chat')
      ? chatModels.map((model) => `chat/${model}`)
      : []),
  ]
}

/** What the work runs on, as conduct is counted by. */
export function runtimeOf(work: WorkSpec): 'reproducible' | 'native' | 'wasm' | 'chat' {
  return work.kind === 'onnx' ? work.runtime : work.kind
}

/** Any node of an operator, or only those that are trusted. */
export function reservation(operator: string, who: 'any' | 'trusted'): string {
  return `${who}:${operator}`
}

/** The reservations that a node may take. */
export function reservationsOf({
  operator,
  standing,
}: {
  readonly operator: string
  readonly standing: NodeView['standing']
}): string[] {
  const own = [ANYBODY, reservation(operator, 'any')]
  return standing === 'trusted' ? [...own, reservation(operator, 'trusted')] : own
}
