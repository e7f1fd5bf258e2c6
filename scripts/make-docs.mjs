/**
 * The generated documents: docs/errors.md from the `*_ERRORS` tables of every errors.ts, and docs/api from
 * the modules that the package exports. `npm run docs` writes them; `--check` (in `npm run check`) makes them
 * anew elsewhere and fails where the committed ones differ.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorTables } from './error-tables.mjs'
import { build, ROOT } from './prepare.mjs'

const PROTOCOL_SRC = join(ROOT, 'packages/protocol/src')

const ERRORS_HEAD = `# Errors

<!-- Made by scripts/make-docs.mjs from the errors.ts files: change those, then run \`npm run docs\`. -->

Every refusal carries a stable code, a message that says what was expected, what came and what to do, and a
\`detail\` object that survives JSON. \`verify…\` functions return \`{ ok: false, code, message, detail }\`;
\`decode…\`, \`load…\` and \`assert…\` throw an \`AssayError\` with the same fields. The command line prints them and
exits with 1 for a rejected proof and 2 for bad input or usage. Match on the code: messages may change.
`

function errorsPage(tables) {
  const sections = tables.map(({ area, entries }) => {
    const rows = Object.entries(entries)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([code, { meaning, remedy }]) => `| \`${code}\` | ${cell(meaning)} | ${cell(remedy)} |`)
    return `\n## ${area}\n\n| code | meaning | what to do |\n|---|---|---|\n${rows.join('\n')}\n`
  })
  return ERRORS_HEAD + sections.join('')
}

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

function makeApi(out) {
  const typedoc = join(ROOT, 'node_modules/typedoc/bin/typedoc')
  const done = spawnSync(process.execPath, [typedoc, '--out', out, '--logLevel', 'Warn'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (done.status !== 0) throw new Error(`typedoc failed:\n${done.stdout}${done.stderr}`)
  if (done.stderr.trim() !== '') console.error(done.stderr.trim())
  for (const page of filesOf(out)) {
    const source = join(PROTOCOL_SRC, page.replace(/\.md$/, '.ts'))
    if (!existsSync(source)) continue
    const module = page.replace(/\.md$/, '')
    const text = readFileSync(join(out, page), 'utf8')
      .replaceAll('`__namedParameters`', '`{ … }`')
      .replaceAll('`__namedParameters.', '`')
    const [title, ...rest] = text.split('\n')
    const head = [title, '', `\`import { … } from 'assay/${module}'\``, '', openingComment(source)]
    writeFileSync(join(out, page), `${head.join('\n').trimEnd()}\n${rest.join('\n')}`)
  }
}

/** The docblock that a file opens with, which TypeDoc drops unless it carries a tag. */
function openingComment(source) {
  const comment = /^\/\*\*([\s\S]*?)\*\//.exec(readFileSync(source, 'utf8'))
  return comment === null ? '' : comment[1].replace(/^[ \t]*\* ?/gm, '').trim()
}

/** Paths of the files under a folder, relative to it, sorted. */
function filesOf(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1))
    .map((path) => path.replaceAll('\\', '/'))
    .sort()
}

async function makeDocs(docs) {
  mkdirSync(docs, { recursive: true })
  rmSync(join(docs, 'api'), { recursive: true, force: true })
  makeApi(join(docs, 'api'))
  writeFileSync(join(docs, 'errors.md'), errorsPage(await errorTables()))
}

/** Names of the pages that are missing, superfluous or different. */
function differences(fresh, committed) {
  const pages = (docs) => ['errors.md', ...filesOf(join(docs, 'api')).map((page) => `api/${page}`)]
  const all = new Set([...pages(fresh), ...pages(committed)])
  const read = (path) => (existsSync(path) ? readFileSync(path, 'utf8').replaceAll('\r\n', '\n') : undefined)
  return [...all].filter((page) => read(join(fresh, page)) !== read(join(committed, page)))
}

build()
const docs = join(ROOT, 'docs')
if (process.argv.includes('--check')) {
  const temporary = mkdtempSync(join(tmpdir(), 'assay-docs-'))
  try {
    await makeDocs(temporary)
    const stale = differences(temporary, docs)
    for (const page of stale.slice(0, 10)) console.error(`docs/${page} is not what the sources give`)
    if (stale.length > 0) console.error('run npm run docs and commit what it writes')
    console.log(`docs: ${filesOf(temporary).length} pages, ${stale.length} stale`)
    process.exitCode = stale.length > 0 ? 1 : 0
  } finally {
    rmSync(temporary, { recursive: true, force: true })
  }
} else {
  await makeDocs(docs)
  console.log('docs: wrote docs/errors.md and docs/api')
}
