/**
 * Receipts of network jobs, tampered with: what somebody without the coordinator's key alters in the file, and what a
 * coordinator that lies signs itself. The latter has a key of its own here, names itself as the coordinator, and leaves
 * out the log, which it could make as well; `resign` alone changes nothing that matters, and must be accepted.
 *
 * Each forgery takes a fresh copy of the bundle and gives the forged one.
 */
import { fromBase64, toBase64, utf8 } from 'assay/core/bytes'
import { encodePublicKey } from 'assay/core/key-file'
import { nodeId } from 'assay/core/keys'
import { sealEnvelope } from 'assay/receipt/envelope'
import { assuranceOf } from 'assay/receipt/job/assurance'
import { listRoot, MAX_JOB_PAYLOAD_BYTES, segmentRoots } from 'assay/receipt/job/statement'

/** Another digit in the middle, of a text of hexadecimal digits. */
const flipHex = (text) => replaceAt(text, text.length >> 1, (digit) => (digit === '0' ? '1' : '0'))
/** Another character in the middle, of base64 or base32. */
const flipText = (text) => replaceAt(text, text.length >> 1, (letter) => (letter === 'a' ? 'b' : 'a'))

function replaceAt(text, at, change) {
  return text.slice(0, at) + change(text[at]) + text.slice(at + 1)
}

const readPayload = ({ payload }) => JSON.parse(Buffer.from(fromBase64(payload)).toString())

/** Alters what an envelope says, and leaves its signature as it is. */
function alterPayload(envelope, change) {
  const statement = readPayload(envelope)
  change(statement)
  envelope.payload = toBase64(utf8(JSON.stringify(statement)))
}

const alter = (change) => (bundle) => {
  change(bundle)
  return bundle
}

/** By somebody without the key: each field as it came, but one. */
export const ALTERED = {
  'the payload, one letter': alter(({ envelope }) => {
    envelope.payload = flipText(envelope.payload)
  }),
  'the signature of the coordinator': alter(({ envelope }) => {
    envelope.signatures[0].sig = flipText(envelope.signatures[0].sig)
  }),
  'the id of the signer': alter(({ envelope }) => {
    envelope.signatures[0].keyid = flipHex(envelope.signatures[0].keyid)
  }),
  'the output digest': alter(({ envelope }) => {
    alterPayload(envelope, ({ predicate: { output } }) => {
      output.root = flipHex(output.root)
    })
  }),
  'credits paid': alter(({ envelope }) => {
    alterPayload(envelope, ({ predicate: { credits } }) => {
      credits.paid += 1
    })
  }),
  'the signature of a node': alter(({ executions: [{ execution }] }) => {
    execution.signature = flipText(execution.signature)
  }),
  'the node id of an execution': alter(({ executions: [{ execution }] }) => {
    execution.fields.nodeId = flipHex(execution.fields.nodeId)
  }),
  'the result digest of an execution': alter(({ executions: [{ execution }] }) => {
    execution.fields.resultDigest = flipHex(execution.fields.resultDigest)
  }),
  'the nonce of an execution': alter(({ executions: [{ execution }] }) => {
    execution.fields.nonce = flipHex(execution.fields.nonce)
  }),
  'the place of an execution in its batch': alter(({ executions: [{ execution }] }) => {
    execution.count += 1
  }),
  'the segment of an execution': alter(({ executions: [item] }) => {
    item.segment += 1
  }),
  'the outputs of two executions, exchanged': alter(({ executions }) => {
    const other = executions.find(({ segment }) => segment !== executions[0].segment)
    ;[executions[0].execution, other.execution] = [other.execution, executions[0].execution]
  }),
  'a sample index of a verdict': alter(({ verdicts: [envelope] }) => {
    alterPayload(envelope, ({ predicate: { check } }) => {
      check.indices[0] += 1
    })
  }),
  'the signature of a verifier': alter(({ verdicts: [envelope] }) => {
    envelope.signatures[0].sig = flipText(envelope.signatures[0].sig)
  }),
  'the log index': alter(({ inclusion }) => {
    inclusion.leafIndex += 1
  }),
  'the size of the log': alter(({ inclusion }) => {
    const [origin, size, ...rest] = inclusion.checkpoint.split('\n')
    inclusion.checkpoint = [origin, String(Number(size) + 1), ...rest].join('\n')
  }),
  'the root of the log': alter(({ inclusion }) => {
    const [origin, size, root, ...rest] = inclusion.checkpoint.split('\n')
    inclusion.checkpoint = [origin, size, flipText(root), ...rest].join('\n')
  }),
  'a path in the log that is too long': alter(({ inclusion }) => {
    inclusion.path.push('00'.repeat(32))
  }),
}

/** By a coordinator that signs whatever it likes; lists have their roots computed again. */
export const SIGNED = {
  'the output root': (predicate) => {
    predicate.output.root = flipHex(predicate.output.root)
  },
  'the output of a segment': ({ segments: { list } }) => {
    list[1].output = flipHex(list[1].output)
  },
  'the outputs of two segments, exchanged': ({ segments: { list } }) => {
    ;[list[0].output, list[1].output] = [list[1].output, list[0].output]
  },
  'the commitment of a segment': ({ segments: { list } }) => {
    list[1].commitment = flipHex(list[1].commitment)
  },
  'the node of a segment': ({ segments: { list }, nodes }) => {
    list[1].node = (list[1].node + 1) % nodes.length
  },
  'one segment less': ({ segments }) => {
    segments.count -= 1
    segments.list.pop()
  },
  'the id of a node': ({ nodes: [node] }) => {
    node.nodeId = flipHex(node.nodeId)
  },
  'the task id': ({ work }) => {
    work.taskId = flipHex(work.taskId)
  },
  'the model': ({ work: { descriptor } }) => {
    descriptor.model = flipText(descriptor.model)
  },
  'the input': ({ input }) => {
    input.cids[0] = flipText(input.cids[0])
  },
  'the number of rows': ({ input }) => {
    input.rows -= 1
  },
  'the secret of the draws': ({ validation: { seed } }) => {
    seed.secret = flipHex(seed.secret)
  },
  'no audits': ({ validation: { audits } }) => {
    audits.count = 0
    audits.list = []
  },
  'an audit that was agreed, told otherwise': ({ validation: { audits } }) => {
    audits.list[0].outcome = 'scattered'
  },
  'an audit by the same node twice': ({ validation: { audits } }) => {
    audits.list[0].runs[1].node = audits.list[0].runs[0].node
  },
  'one check less': ({ validation: { checks } }) => {
    checks.count -= 1
    checks.list.pop()
  },
  'more samples than were taken': ({ validation: { checks } }) => {
    checks.list[0].samples += 1
  },
  'the receipt of a check': ({ validation: { checks } }) => {
    checks.list[0].receipt = flipHex(checks.list[0].receipt)
  },
  'more confidence than the figures give': ({ validation: { assurance } }) => {
    assurance.segmentCaught = 1
  },
  'less paid than nodes got': ({ credits }) => {
    credits.paid = 0
  },
}

/** As much as before follows from less: only who knows what was agreed can tell. */
export const AGREED = {
  'less redundancy than was asked': (predicate) => {
    ask(predicate, { redundancy: { share: 0 } })
  },
  'no redundancy': (predicate) => {
    ask(predicate, { redundancy: null })
  },
  'less confidence than was asked': (predicate) => {
    ask(predicate, { sampling: { ...predicate.validation.asked.sampling, confidence: 0.5 } })
  },
}

function ask({ validation, segments: { count } }, change) {
  Object.assign(validation.asked, change)
  Object.assign(validation.assurance, assuranceOf(validation.asked, { segments: count }))
}

/** The bundle with an altered statement, signed by `key`; no change gives one that is as good as the coordinator's. */
export async function resign(bundle, { key, change = () => {} }) {
  const statement = readPayload(bundle.envelope)
  const { predicate, subject } = statement
  predicate.coordinator = { nodeId: nodeId(key.publicKey), publicKey: encodePublicKey(key.publicKey) }
  const before = JSON.stringify(predicate.segments.list)
  change(predicate)
  if (JSON.stringify(predicate.segments.list) !== before) {
    const { nodes, segments } = predicate
    const records = segments.list.map(({ node, ...run }, index) => ({
      index,
      nodeId: nodes[node].nodeId,
      ...run,
    }))
    const { root, outputRoot } = segmentRoots(records)
    segments.root = root
    predicate.output.root = outputRoot
  }
  for (const listed of [predicate.validation.audits, predicate.validation.checks])
    listed.root = listRoot(listed.list)
  subject[0].digest.assayOutputRoot = predicate.output.root
  const payload = utf8(JSON.stringify(statement))
  return {
    ...bundle,
    envelope: await sealEnvelope(payload, key, { maxBytes: MAX_JOB_PAYLOAD_BYTES }),
    inclusion: null,
  }
}
