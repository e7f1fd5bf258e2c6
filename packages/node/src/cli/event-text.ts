/** An event as one line for people. */
import type { EventView } from 'assay/wire/account'

/** The time of day, what happened, where, and the figures that came with it. */
export function eventLine({ at, type, nodeId, segment, data }: EventView): string {
  const parts = [
    at.slice(11, 19),
    type,
    segment === null ? '' : `segment ${segment}`,
    nodeId === null ? '' : `node ${nodeId.slice(0, 12)}`,
    ...Object.entries(data).map(([name, value]) =>
      typeof value === 'string' ? `${name}: ${value}` : `${name}: ${JSON.stringify(value)}`,
    ),
  ]
  return parts.filter((part) => part !== '').join('  ')
}
