/**
 * What npm would publish: publint on both packages, and "are the types wrong?" on every module of the library,
 * each named, because attw passes over an export with a wildcard without looking behind it.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { ROOT } from './prepare.mjs'

const FEWEST_MODULES = 20

async function lint(folder) {
  const pkgDir = join(ROOT, folder)
  const { messages } = await publint({ pkgDir, strict: true })
  const pkg = JSON.parse(readFileSync(join(pkgDir, 'package.json'), 'utf8'))
  return messages.map((message) => `${folder}: ${formatMessage(message, pkg, { color: false })}`)
}

/** Every module that the exports of the library name: `core/bytes`, `method/sampling/proof`, … */
function modules() {
  const folder = join(ROOT, 'packages/protocol')
  const areas = Object.keys(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).exports)
    .filter((path) => path.endsWith('/*'))
    .map((path) => path.slice(2, -1))
  return readdirSync(join(folder, 'dist'), { recursive: true })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.js') && areas.some((area) => path.startsWith(area)))
    .map((path) => path.replace(/\.js$/, ''))
    .sort()
}

function types(entrypoints) {
  const attw = join(ROOT, 'node_modules/@arethetypeswrong/cli/dist/index.js')
  const args = ['--pack', 'packages/protocol', '--profile', 'esm-only', '--format', 'json']
  // Into a file: attw exits before a pipe has taken all of its output.
  const folder = mkdtempSync(join(tmpdir(), 'assay-attw-'))
  const output = openSync(join(folder, 'attw.json'), 'w')
  spawnSync(process.execPath, [attw, ...args, '--entrypoints', ...entrypoints], {
    cwd: ROOT,
    stdio: ['ignore', output, 'inherit'],
  })
  closeSync(output)
  const { analysis } = JSON.parse(readFileSync(join(folder, 'attw.json'), 'utf8'))
  rmSync(folder, { recursive: true })
  const missing = entrypoints.filter((path) => !(`./${path}` in (analysis.entrypoints ?? {})))
  // The package is for ES modules only: what CommonJS and the resolution of Node 10 make of it is no matter.
  const failures = analysis.problems
    .filter(({ resolutionKind }) => resolutionKind !== 'node10' && resolutionKind !== 'node16-cjs')
    .map(({ trace, ...problem }) => `attw: ${JSON.stringify(problem)}`)
  return [...failures, ...missing.map((path) => `attw did not look at ${path}`)]
}

const entrypoints = modules()
const problems = [
  ...(await lint('packages/protocol')),
  ...(await lint('packages/node')),
  ...types(entrypoints),
]
if (entrypoints.length < FEWEST_MODULES) problems.push(`only ${entrypoints.length} modules: build first`)
for (const problem of problems) console.error(problem)
console.log(`package: ${entrypoints.length} modules, ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0
