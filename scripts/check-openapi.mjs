/**
 * docs/openapi.json: that it is what the sources give, that it is a valid OpenAPI 3.1 document, and that it breaks no
 * program written against the document before it. `--write` makes it anew, and refuses to where that would break
 * somebody; `--write --breaking` does it all the same, for a protocol that nobody uses yet or for a new major version
 * (which is another major number of API_VERSION, and then needs no flag).
 *
 * "Before" is the committed document, that of the working copy and that of `OPENAPI_BASE` (a commit; HEAD unless
 * told). The comparison is tested on plants each time: one change for each thing that breaks, and some that do not.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { buildSync } from 'esbuild'
import { breakingChanges } from './openapi-compat.mjs'
import { plantFailures } from './openapi-plants.mjs'
import { ROOT } from './prepare.mjs'

const NAME = 'docs/openapi.json'
const PATH = join(ROOT, NAME)
const SHOWN = 20

async function documentOfSources() {
  const entry = join(ROOT, 'packages/protocol/src/wire/openapi.ts')
  const { outputFiles } = buildSync({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
  })
  const url = `data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`
  return (await import(url)).openApiDocument()
}

/** The document of a commit; undefined where there is no git, no such commit or no document in it. */
function documentOf(commit) {
  const shown = spawnSync('git', ['show', `${commit}:${NAME}`], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  return shown.status === 0 ? JSON.parse(shown.stdout) : undefined
}

/** What breaks, unless another major version says so. */
function breaks(before, after) {
  const major = (document) => document.info.version.split('.')[0]
  return before === undefined || major(before) !== major(after) ? [] : breakingChanges(before, after)
}

const fresh = await documentOfSources()
const text = `${JSON.stringify(fresh, null, 2)}\n`
const committed = existsSync(PATH) ? readFileSync(PATH, 'utf8').replaceAll('\r\n', '\n') : undefined
const broken = new Set([
  ...breaks(committed === undefined ? undefined : JSON.parse(committed), fresh),
  ...breaks(documentOf(process.env.OPENAPI_BASE ?? 'HEAD'), fresh),
])
const mayBreak = process.argv.includes('--breaking')
const problems = mayBreak ? [] : [...broken].map((change) => `breaks older clients: ${change}`)

const { valid, errors } = await new Validator().validate(JSON.parse(text))
if (!valid) problems.push(`not a valid OpenAPI document: ${JSON.stringify(errors).slice(0, 2000)}`)
problems.push(...plantFailures(fresh))

if (process.argv.includes('--write')) {
  if (problems.length === 0) writeFileSync(PATH, text)
} else if (text !== committed) {
  problems.push(`${NAME} is not what the sources give: run npm run docs and commit what it writes`)
}
for (const problem of problems.slice(0, SHOWN)) console.error(problem)
if (problems.length > SHOWN) console.error(`and ${problems.length - SHOWN} more`)
console.log(
  `openapi: ${Object.keys(fresh.paths).length} paths, ${Object.keys(fresh.components.schemas).length} schemas, ` +
    `${broken.size} breaking changes, ${problems.length} problems`,
)
process.exitCode = problems.length > 0 ? 1 : 0
