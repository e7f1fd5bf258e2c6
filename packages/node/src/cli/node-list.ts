/** `assay node ls|show|drain`: the nodes of a network, and why each stands as it does. */
import type { NodeView } from 'assay/wire/manifest'
import type { Command } from 'commander'
import { describedCommand, type Perform, USAGE_EXIT } from './command.ts'
import { addConnectionOptions, type ConnectionOptions, connect } from './connection.ts'
import { formatBytes, formatCount, formatPercent, type Style, table } from './style.ts'

export function nodeListCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('ls', {
      summary: 'list the nodes of the network',
      description: 'Lists nodes with their standing and the share of their results that is audited now.',
      examples: [['who is there', 'assay node ls']],
      exits: [[0, 'listed'], USAGE_EXIT],
    }),
  ).action(
    perform<ConnectionOptions>(async (options, { signal }) => {
      const client = await connect(options)
      const nodes: NodeView[] = []
      let cursor: string | null = null
      do {
        const query: { cursor?: string } = cursor === null ? {} : { cursor }
        const page = await client.listNodes({ query }, { signal })
        nodes.push(...page.items)
        cursor = page.nextCursor
      } while (cursor !== null)
      return { exitCode: 0, json: { nodes: nodes as never }, text: (style) => nodeTable(nodes, style) }
    }),
  )
}

function nodeTable(nodes: readonly NodeView[], style: Style): string {
  if (nodes.length === 0) return 'No nodes yet: start one with `assay node`.'
  const rows = nodes.map((node) => [
    node.id.slice(0, 12),
    node.manifest.name,
    node.manifest.operator,
    node.state,
    standingText(node, style),
    formatPercent(node.auditRate),
    formatCount(node.accepted),
    formatCount(node.faults),
    formatCount(node.balance),
    formatCount(node.held),
    formatCount(node.stake),
  ])
  const head = [
    'node',
    'name',
    'operator',
    'state',
    'standing',
    'audited',
    'accepted',
    'faults',
    'earned',
    'held',
    'stake',
  ]
  return table([head.map(style.faint), ...rows])
}

function standingText({ standing }: NodeView, style: Style): string {
  if (standing === 'trusted') return style.good(standing)
  return standing === 'probation' ? standing : style.bad(standing)
}

export function nodeShowCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('show', {
      summary: 'show one node, and why it stands as it does',
      description: 'Shows a node and the decisions about it, newest first, each with its reason and figures.',
      examples: [['why is it quarantined', 'assay node show NODEID']],
      exits: [[0, 'shown'], USAGE_EXIT],
    }),
  )
    .argument('<node>', 'its id; its first digits, where they are only its own')
    .action(
      perform<ConnectionOptions>(async (options, { signal }, [given = '']) => {
        const client = await connect(options)
        const id = given.length === 64 ? given : await wholeId(client, given, signal)
        const node = await client.showNode({ params: { id } }, { signal })
        return { exitCode: 0, json: { node: node as never }, text: (style) => nodeText(node, style) }
      }),
    )
}

async function wholeId(
  client: Awaited<ReturnType<typeof connect>>,
  prefix: string,
  signal: AbortSignal,
): Promise<string> {
  let cursor: string | null = null
  const found: string[] = []
  do {
    const query: { cursor?: string } = cursor === null ? {} : { cursor }
    const page = await client.listNodes({ query }, { signal })
    found.push(...page.items.map(({ id }) => id).filter((id) => id.startsWith(prefix)))
    cursor = page.nextCursor
  } while (cursor !== null)
  return found.length === 1 ? (found[0] as string) : prefix
}

function nodeText(node: NodeView, style: Style): string {
  const { manifest } = node
  const { tier, cores, memoryBytes } = manifest.hardware
  const facts = table([
    ['node', style.strong(node.id)],
    ['name', `${manifest.name}, of ${manifest.operator}, ${manifest.region}`],
    ['state', `${node.state}, last seen ${node.lastSeenAt}`],
    ['standing', standingText(node, style)],
    ['audited', `${formatPercent(node.auditRate)} of its results`],
    ['results', `${formatCount(node.accepted)} accepted, ${formatCount(node.faults)} found wrong`],
    [
      'credits',
      `${formatCount(node.balance)} earned, ${formatCount(node.held)} held, ${formatCount(node.stake)} at stake`,
    ],
    [
      'runs',
      `${manifest.workKinds.join(', ')} with ${manifest.runtimes.join(', ')}, ${manifest.slots} at once`,
    ],
    ['machine', `tier ${tier}, ${cores} cores, ${formatBytes(memoryBytes)}, ${manifest.engine}`],
  ])
  if (node.decisions.length === 0) return `${facts}\n\nNothing was decided about it yet.`
  const decisions = node.decisions.map(({ at, code, reason }) => [at, code, reason])
  return `${facts}\n\n${table([['decided', 'what', 'why'].map(style.faint), ...decisions])}`
}

export function nodeDrainCommand(perform: Perform): Command {
  return addConnectionOptions(
    describedCommand('drain', {
      summary: 'give a node no more work (operator)',
      description:
        'Tells a node to finish what it has and ask for no more; needs a key with the scope admin.',
      examples: [
        ['before maintenance', 'assay node drain NODEID'],
        ['and afterwards', 'assay node drain NODEID --undo'],
      ],
      exits: [[0, 'done'], USAGE_EXIT],
    }),
  )
    .argument('<node>', 'its id')
    .option('--undo', 'give it work again', false)
    .action(
      perform<ConnectionOptions & { readonly undo: boolean }>(async (options, { signal }, [id = '']) => {
        const client = await connect(options)
        const node = await client.drainNode({ params: { id }, body: { drain: !options.undo } }, { signal })
        return { exitCode: 0, json: { node: node as never }, text: (style) => nodeText(node, style) }
      }),
    )
}
