/**
 * The library in a browser: core, state, task, the log, receipts of jobs and every verifier are bundled as a
 * web page would bundle them, no Node built-in may be reached, each module must load where only the web's globals
 * exist, and each verifier must stay within its budget (size-budget.json: bytes, minified and gzipped).
 */
import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createContext, Script } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { type BuildOptions, build } from 'esbuild'
import { describe, expect, test } from 'vitest'

const SRC = fileURLToPath(new URL('../src/', import.meta.url))
const BUDGETS: Readonly<Record<string, number>> = JSON.parse(
  readFileSync(new URL('../size-budget.json', import.meta.url), 'utf8'),
)

const MODULES = (readdirSync(SRC, { recursive: true }) as string[])
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts') && !/\.(test|bench)\.ts$|(^|\/)testing\//.test(path))
  .sort()
const VERIFIERS = MODULES.filter((path) =>
  /^(method\/.*\/verifier[^/]*|receipt\/(?:job\/|log\/)?verify)\.ts$/.test(path),
)
const ENTRY_POINTS = [
  ...new Set([
    ...MODULES.filter((path) => /^(core|state|task|receipt\/(job|log))\//.test(path)),
    ...VERIFIERS,
  ]),
]

/** What a page has, and Node too; nothing of Node's own (process, Buffer, require, setImmediate). */
const WEB_GLOBALS = {
  AbortController,
  AbortSignal,
  atob,
  btoa,
  clearTimeout,
  console,
  crypto,
  fetch,
  performance,
  setTimeout,
  structuredClone,
  TextDecoder,
  TextEncoder,
  URL,
}

interface Bundle {
  readonly code: string
  /** Each as `importer -> built-in`. */
  readonly builtins: readonly string[]
}

/** Bundles for a page. A Node built-in is left out and reported, also where the code would survive its lack. */
async function bundle(options: BuildOptions): Promise<Bundle> {
  const builtins: string[] = []
  const result = await build({
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'bundled',
    target: 'es2022',
    external: ['onnxruntime-web'],
    logLevel: 'silent',
    minify: true,
    write: false,
    plugins: [
      {
        name: 'built-ins',
        setup(hooks) {
          hooks.onResolve({ filter: /^(node:)?[a-z_/0-9]+$/ }, ({ path, importer }) => {
            if (!isBuiltin(path)) return undefined
            builtins.push(`${importer} -> ${path}`)
            return { path, external: true }
          })
        },
      },
    ],
    ...options,
  })
  return { code: result.outputFiles?.[0]?.text ?? '', builtins }
}

const bundleModule = (path: string) => bundle({ entryPoints: [join(SRC, path)] })
const bundleText = (contents: string) =>
  bundle({ stdin: { contents, resolveDir: SRC, loader: 'ts', sourcefile: 'planted.ts' } })

/** Runs a bundle as a classic script of a page and returns its exports. */
function load({ code }: Bundle): Record<string, unknown> {
  const page = createContext({ ...WEB_GLOBALS })
  new Script(code).runInContext(page)
  return page.bundled as Record<string, unknown>
}

describe('what is checked', () => {
  test('every module of core, state and task, and every verifier', () => {
    for (const path of ['core/bytes.ts', 'core/digest.ts', 'state/kind.ts']) {
      expect(ENTRY_POINTS).toContain(path)
    }
  })

  test.each([
    "import { readFileSync } from 'node:fs'\nexport const x = readFileSync",
    "import { createHash } from 'crypto'\nexport const x = createHash",
    "export const x = async () => { try { return await import('node:os') } catch { return null } }",
    "import { x as y } from 'fs/promises'\nexport const x = y",
  ])('a planted built-in is noticed: %s', async (text) => {
    expect((await bundleText(text)).builtins).toHaveLength(1)
  })

  test('a planted global of Node does not load', async () => {
    const planted = await bundleText("export const x = Buffer.from('a')")
    expect(() => load(planted)).toThrow(/Buffer is not defined/)
  })
})

describe('in a browser', () => {
  test.each(ENTRY_POINTS)('%s', async (path) => {
    const bundled = await bundleModule(path)
    expect(bundled.builtins).toEqual([])
    expect(() => load(bundled)).not.toThrow()
  })

  test('a digest comes out as published (FIPS 180-2, "abc")', async () => {
    const { toHex, sha256, utf8 } = load(
      await bundleText("export * from './core/bytes.ts'\nexport * from './core/digest.ts'"),
    ) as typeof import('../src/core/bytes.ts') & typeof import('../src/core/digest.ts')
    expect(toHex(sha256(utf8('abc')))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
  })
})

describe('size budget', () => {
  test('each verifier has one, and nothing else', () => {
    expect(Object.keys(BUDGETS).sort()).toEqual(VERIFIERS)
  })

  test.each(Object.entries(BUDGETS))('%s: at most %i bytes', async (path, budget) => {
    const { code } = await bundleModule(path)
    const size = gzipSync(code, { level: 9 }).length
    expect(size, `${path} takes ${size} bytes, minified and gzipped`).toBeLessThanOrEqual(budget)
    expect(size, `the budget of ${path} is loose: it takes ${size} bytes`).toBeGreaterThan(budget * 0.75)
  })
})
