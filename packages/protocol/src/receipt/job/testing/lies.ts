/** For tests: a receipt's statement changed and signed again, as a coordinator does that lies. */
import { fromBase64, utf8 } from '../../../core/bytes.ts'
import type { KeyPair } from '../../../core/keys.ts'
import { type Envelope, sealEnvelope } from '../../envelope.ts'
import { signJobReceipt } from '../sign.ts'
import { type JobStatement, MAX_JOB_PAYLOAD_BYTES } from '../statement.ts'
import { coordinatorKey, type World } from './job-world.ts'

export type Mutable<T> = { -readonly [K in keyof T]: T[K] extends object ? Mutable<T[K]> : T[K] }
export type Lie = (statement: Mutable<JobStatement>) => void

export type SignedWorld = World & { readonly envelope: Envelope }

export async function signWorld(world: World): Promise<SignedWorld> {
  return { ...world, envelope: await signJobReceipt(world.parts, coordinatorKey) }
}

export function statementOf(envelope: Envelope): Mutable<JobStatement> {
  return JSON.parse(new TextDecoder().decode(fromBase64(envelope.payload)))
}

export async function resign(envelope: Envelope, lie: Lie, key: KeyPair = coordinatorKey): Promise<Envelope> {
  const statement = statementOf(envelope)
  lie(statement)
  return sealEnvelope(utf8(JSON.stringify(statement)), key, { maxBytes: MAX_JOB_PAYLOAD_BYTES })
}

export const evidenceOf = ({ executions, verdicts, outputs }: World) => ({ executions, verdicts, outputs })
