/**
 * `npm test`: install and build what is missing, then every test but the slow ones.
 * `npm run test:slow` runs those. Further arguments go to vitest (`npm test -- core/bloom`).
 */
import { prepare, runNode } from './prepare.mjs'

const args = process.argv.slice(2)
const isSlow = args[0] === '--slow'
const config = isSlow ? 'vitest.slow.config.ts' : 'vitest.config.ts'

prepare()
process.exitCode = runNode('node_modules/vitest/vitest.mjs', [
  'run',
  '--config',
  config,
  ...args.slice(isSlow ? 1 : 0),
])
