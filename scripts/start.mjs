/** `npm start`: install and build what is missing, then the main job. Arguments go to `assay up --demo`. */
import { prepare, runNode } from './prepare.mjs'

prepare()
process.exitCode = runNode('packages/node/bin/assay.js', ['up', '--demo', ...process.argv.slice(2)])
