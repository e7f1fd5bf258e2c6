/**
 * Every benchmark, one after the other: `node bench/run.mjs`, or some: `node bench/run.mjs bloom workers`.
 * With --smoke they run on small sizes and record nothing. Needs a build.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('.', import.meta.url))
/** Not benchmarks themselves. */
const PARTS = new Set(['run.mjs', 'record.mjs', 'tasks.mjs', 'thread-times.mjs'])

const options = process.argv.slice(2).filter((word) => word.startsWith('--'))
const wanted = process.argv.slice(2).filter((word) => !word.startsWith('--'))
const all = readdirSync(folder)
  .filter((name) => name.endsWith('.mjs') && !PARTS.has(name) && !/-worker\.mjs$|^network-/.test(name))
  .map((name) => name.slice(0, -4))
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark named ${unknown.join(', ')}: there are ${all.join(', ')}`)
  process.exit(2)
}

let failed = 0
for (const name of wanted.length > 0 ? wanted : all) {
  console.log(`--- ${name}`)
  const { status } = spawnSync(process.execPath, [`${folder}${name}.mjs`, ...options], { stdio: 'inherit' })
  if (status !== 0) {
    console.error(`--- ${name} failed: exit ${status}`)
    failed += 1
  }
}
process.exitCode = failed === 0 ? 0 : 1
