/**
 * The examples of the documents are run. Each document has a working copy of its own: the examples, the built
 * packages, an empty `run/`. Its blocks run in their order, so that a later one may use what an earlier one
 * wrote. `npx assay` is the command line of this tree. TypeScript blocks are type-checked, run, and must print
 * what the comments behind their `console.log` say.
 */
import { spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transform } from 'esbuild'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Block, blocksOf, type Command, commandsOf, promisedLines } from './document-blocks.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const COMMAND_LINE = join(ROOT, 'packages/node/bin/assay.js')
const BLOCK_TIMEOUT_MS = 300_000
/** `npx assay …` without npm: the same program, and no download when it is missing. */
const PRELUDE = `set -euo pipefail
npx() { [ "$1" = assay ] || { echo "only npx assay can run here, not: npx $*" >&2; return 127; }
  shift; node "$ASSAY_COMMAND_LINE" "$@"; }
`

interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Files under a folder of the repository whose path fits, relative to the root. */
function inFolder(folder: string, fits: RegExp): string[] {
  if (!existsSync(join(ROOT, folder))) return []
  return (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`)
    .filter((path) => fits.test(path) && !/node_modules|\.venv/.test(path))
    .sort()
}

function documents(): string[] {
  return [
    'README.md',
    ...inFolder('docs/guides', /\.md$/),
    ...inFolder('examples', /\/README\.md$/),
    'packages/protocol/README.md',
    'packages/node/README.md',
  ].filter((path) => existsSync(join(ROOT, path)))
}

function makeWorkingCopy(): string {
  const home = mkdtempSync(join(tmpdir(), 'assay-document-'))
  mkdirSync(join(home, 'run'))
  if (existsSync(join(ROOT, 'examples'))) {
    cpSync(join(ROOT, 'examples'), join(home, 'examples'), {
      recursive: true,
      filter: (path) => !/[\\/](node_modules|\.venv|run)$/.test(path),
    })
  }
  for (const name of ['node_modules', 'packages', 'vectors']) {
    if (existsSync(join(ROOT, name))) symlinkSync(join(ROOT, name), join(home, name), 'junction')
  }
  writeFileSync(join(home, 'package.json'), '{"type":"module","private":true}\n')
  return home
}

function execute(command: string, args: readonly string[], cwd: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env: {
        ...process.env,
        ASSAY_COMMAND_LINE: COMMAND_LINE,
        NO_COLOR: '1',
        XDG_CONFIG_HOME: join(cwd, 'config'),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk) => {
      stderr += chunk
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

async function runShell(block: Block, home: string): Promise<void> {
  for (const command of commandsOf(block.text)) await runCommand(command, home)
}

async function runCommand({ text, exitCode }: Command, home: string): Promise<void> {
  const { code, stdout, stderr } = await execute('bash', ['-c', PRELUDE + text], home)
  expect(code, `${text}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`).toBe(exitCode)
}

async function runTypeScript(block: Block, home: string): Promise<void> {
  const name = `block-${block.line}`
  const source = join(home, `${name}.ts`)
  writeFileSync(source, block.text)
  expect(typeErrors(source)).toEqual([])
  const { code: script } = await transform(block.text, { loader: 'ts', format: 'esm', target: 'node20' })
  writeFileSync(join(home, `${name}.mjs`), script)
  const { code, stdout, stderr } = await execute(process.execPath, [`${name}.mjs`], home)
  expect(code, stderr.slice(-2000)).toBe(0)
  const printed = stdout.split('\n')
  for (const line of promisedLines(block.text)) expect(printed).toContain(line)
}

function typeErrors(source: string): string[] {
  const program = ts.createProgram([source], {
    allowImportingTsExtensions: true,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleDetection: ts.ModuleDetectionKind.Force,
    noEmit: true,
    skipLibCheck: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    typeRoots: [join(ROOT, 'node_modules/@types')],
    types: ['node'],
  })
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

const DOCUMENTS = documents()
  .map((path) => ({ path, blocks: blocksOf(readFileSync(join(ROOT, path), 'utf8')) }))
  .filter(({ blocks }) => blocks.length > 0)

test('there are examples to run', () => {
  const paths = DOCUMENTS.map(({ path }) => path)
  for (const path of ['README.md', 'packages/protocol/README.md', 'packages/node/README.md']) {
    expect(paths).toContain(path)
  }
})

const LINKING = [
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...documents(),
  ...inFolder('docs', /\.md$/),
]

test.each([...new Set(LINKING)])('the links of %s lead somewhere', (path) => {
  const text = readFileSync(join(ROOT, path), 'utf8').replace(/^```[\s\S]*?^```/gm, '')
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g)].map(([, target]) => target as string)
  const files = targets.filter((target) => !/^[a-z]+:/.test(target))
  expect(files.filter((file) => !existsSync(join(ROOT, dirname(path), decodeURI(file))))).toEqual([])
})

describe.each(DOCUMENTS)('$path', ({ blocks }) => {
  let home = ''
  beforeAll(() => {
    home = makeWorkingCopy()
  })
  afterAll(() => rmSync(home, { recursive: true, force: true }))

  for (const block of blocks) {
    const title = `line ${block.line}, ${block.language}`
    if (block.skipped !== undefined) test.skip(`${title}: ${block.skipped}`, () => {})
    else {
      const run = block.language === 'ts' ? runTypeScript : runShell
      test(title, () => run(block, home), BLOCK_TIMEOUT_MS)
    }
  }
})
