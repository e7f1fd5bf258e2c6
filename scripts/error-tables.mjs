/** Finds the tables of error codes: every export named `…_ERRORS` of an errors.ts, read from the sources. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { ROOT } from './prepare.mjs'

const PACKAGES = ['protocol', 'node']

/** `[{ area, file, entries }]`, one for each table; `area` is the folder, `entries` maps codes to their texts. */
export async function errorTables() {
  const tables = []
  for (const name of PACKAGES) {
    const src = join(ROOT, 'packages', name, 'src')
    const files = readdirSync(src, { recursive: true })
      .map((path) => path.replaceAll('\\', '/'))
      .filter((path) => /(^|\/)errors\.ts$/.test(path))
      .sort()
    for (const file of files) {
      const module = await evaluate(join(src, file))
      const folder = file.replace(/\/?errors\.ts$/, '')
      for (const [exported, entries] of Object.entries(module)) {
        if (!exported.endsWith('_ERRORS')) continue
        tables.push({
          area: name === 'protocol' ? folder : [name, folder].filter(Boolean).join('/'),
          file: `packages/${name}/src/${file}`,
          entries,
        })
      }
    }
  }
  return tables
}

async function evaluate(path) {
  const { outputFiles } = buildSync({ entryPoints: [path], bundle: true, format: 'esm', write: false })
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`)
}
