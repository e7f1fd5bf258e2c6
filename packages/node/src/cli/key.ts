/**
 * `assay key`: the keys that nodes sign with.
 */

import { encodePublicKey } from 'assay/core/key-file'
import { KEY_TYPES, type KeyPair, type KeyType, nodeId } from 'assay/core/keys'
import { Command, Option } from 'commander'
import { type AddCommand, describedCommand, type Outcome, type Perform, USAGE_EXIT } from './command.ts'
import { keyApiCommand } from './key-api.ts'
import { makeKey, readKey, userKeyPath } from './key-store.ts'
import { table } from './style.ts'

export const keyCommand: AddCommand = (perform) =>
  new Command('key')
    .summary('keys that nodes sign with, and API keys of a network')
    .description(
      'Makes the key that a node signs with, or shows the node id of one; makes API keys of a network.',
    )
    .addCommand(keyNew(perform))
    .addCommand(keyShow(perform))
    .addCommand(keyApiCommand(perform))

interface KeyNewOptions {
  readonly type: KeyType
  readonly out?: string
}

function keyNew(perform: Perform): Command {
  return describedCommand('new', {
    summary: 'make a key',
    description:
      'Makes a key and writes it to a file that only you can read. It never overwrites one. Without --out it ' +
      `becomes the key of this machine, which solve and verify use when they are given none.`,
    examples: [
      ['a key in a file of its own', 'assay key new --out solver.json'],
      [
        'an RSA key, as published Proof-of-Execution uses',
        'assay key new --type rsa-pss-3072 --out rsa.json',
      ],
    ],
    exits: [[0, 'made'], USAGE_EXIT],
  })
    .addOption(new Option('--type <type>', 'kind of key').choices(KEY_TYPES).default('ed25519'))
    .option('--out <file>', `where to write it (default: ${userKeyPath()})`)
    .action(
      perform<KeyNewOptions>(async ({ type, out = userKeyPath() }) =>
        describeKey(await makeKey(out, type), out),
      ),
    )
}

function keyShow(perform: Perform): Command {
  return describedCommand('show', {
    summary: 'show the node id and public key of a key file',
    description: 'Shows type, node id and public key. The secret stays in the file.',
    examples: [['whose signatures this key makes', 'assay key show --key solver.json']],
    exits: [[0, 'shown'], USAGE_EXIT],
  })
    .option('--key <file>', `the key file (default: ${userKeyPath()})`)
    .action(
      perform<{ readonly key?: string }>(async ({ key = userKeyPath() }) =>
        describeKey(await readKey(key), key),
      ),
    )
}

function describeKey({ publicKey }: KeyPair, file: string): Outcome {
  const id = nodeId(publicKey)
  const encoded = encodePublicKey(publicKey)
  return {
    exitCode: 0,
    json: { nodeId: id, type: publicKey.type, publicKey: encoded.bytes, file },
    text: (style) =>
      table([
        ['node id', style.strong(id)],
        ['type', publicKey.type],
        ['public key', encoded.bytes],
        ['file', file],
      ]),
  }
}
