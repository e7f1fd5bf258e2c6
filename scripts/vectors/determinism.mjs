/**
 * Makes vectors/determinism.json from the built library; with --check, compares instead and exits 1 on a difference.
 * It changes with the version of onnxruntime-web and with the example's model, and with nothing else.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { digitsDigests } from '../determinism/digits-digests.mjs'

const file = new URL('../../vectors/determinism.json', import.meta.url)
const text = `${JSON.stringify(await digitsDigests(), null, 2)}\n`
if (!process.argv.includes('--check')) writeFileSync(file, text)
else if (readFileSync(file, 'utf8') !== text) {
  console.error('vectors/determinism.json is not what this library computes')
  process.exitCode = 1
}
