/** `npm run check`: everything that needs no test run. Runs all of it, then names what failed. */
import { prepare, runNode } from './prepare.mjs'

const STEPS = [
  ['types', 'node_modules/typescript/bin/tsc', '-p', 'tsconfig.test.json'],
  ['kernel', 'packages/protocol/scripts/build-kernel.mjs', '--check'],
  ['imports', 'scripts/check-imports.mjs'],
  ['errors', 'scripts/check-errors.mjs'],
  ['dead code', 'node_modules/knip/bin/knip.js', '--no-progress'],
  ['package', 'scripts/check-package.mjs'],
  ['docs', 'scripts/make-docs.mjs', '--check'],
  ['openapi', 'scripts/check-openapi.mjs'],
  ['vectors of batches', 'scripts/vectors/poe-batch.mjs', '--check'],
  ['vectors of logs', 'scripts/vectors/transparency-log.mjs', '--check'],
]

prepare()
const failed = STEPS.filter(([name, file, ...args]) => {
  const code = runNode(file, args)
  if (code === 0) console.log(`${name}: ok`)
  return code !== 0
}).map(([name]) => name)
console.log(failed.length === 0 ? 'check: all well' : `check: failed: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
