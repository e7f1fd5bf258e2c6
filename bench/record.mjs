/**
 * What every benchmark here shares: timing that survives a noisy machine, and the record of what was measured.
 *
 * A record names machine, load, Node and commit, because a figure without them says nothing. It goes to
 * bench/results as JSON for programs and as Markdown for people; with --smoke nothing is written.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'

const RESULTS = fileURLToPath(new URL('./results/', import.meta.url))

/** Small sizes and no record: does the benchmark still run? */
export const SMOKE = process.argv.includes('--smoke')

/**
 * Runs each of the contestants `rounds` times in turn, so that a slow minute hits all of them, and gives the
 * times in milliseconds, ascending. `contestants` maps names to functions, which may be asynchronous.
 */
export async function race(contestants, { rounds }) {
  const times = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      const started = performance.now()
      await run()
      times[name].push(performance.now() - started)
    }
  }
  for (const list of Object.values(times)) list.sort((a, b) => a - b)
  return times
}

/** Of ascending times. */
export function median(ascending) {
  const middle = ascending.length >> 1
  return ascending.length % 2 === 1 ? ascending[middle] : (ascending[middle - 1] + ascending[middle]) / 2
}

/**
 * Prints the table and, except in a smoke run, writes `results/<name>.json` and `.md`.
 *
 * - `title`, `about`: what was measured, and how;
 * - `columns`, `rows`: the table, as text or numbers;
 * - `targets`: `[{ what, target, measured, met }]`;
 * - `data`: raw figures for the JSON;
 * - `sections`: further tables, `[{ title, columns, rows }]`, below the first;
 * - `command`: what repeats the measurement, where that is not a script of this folder;
 * - `write`: false to print only.
 */
export function record(name, { title, about, columns, rows, targets = [], data = {}, ...options }) {
  const { sections = [], command = `node bench/${name}.mjs`, write = !SMOKE } = options
  const measuredOn = context()
  const lines = [
    `# ${title}`,
    '',
    about,
    '',
    table(columns, rows),
    ...(targets.length === 0 ? [] : ['', ...targets.map(describeTarget)]),
    ...sections.flatMap((section) => ['', `## ${section.title}`, '', table(section.columns, section.rows)]),
    '',
    `Measured on ${measuredOn.machine}, ${measuredOn.cores} cores, load ${measuredOn.load} at the end, ` +
      `Node ${measuredOn.node}, commit ${measuredOn.commit}, ${measuredOn.date}. Repeat: \`${command}\`.`,
    '',
  ]
  console.log(lines.join('\n'))
  if (!write) return
  mkdirSync(RESULTS, { recursive: true })
  writeFileSync(`${RESULTS}${name}.md`, lines.join('\n'))
  const json = { name, title, measuredOn, columns, rows, targets, data }
  writeFileSync(`${RESULTS}${name}.json`, `${JSON.stringify(json, null, 2)}\n`)
}

function describeTarget({ what, target, measured, met }) {
  return `- ${what}: ${measured}, target ${target}: ${met ? 'met' : 'missed'}`
}

function table(columns, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(columns), line(columns.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join(
    '\n',
  )
}

function context() {
  return {
    machine: `${cpus()[0]?.model ?? 'unknown processor'} (${process.platform} ${process.arch})`,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: Math.round(loadavg()[0] * 10) / 10,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
  }
}

function commit() {
  try {
    const git = (...args) =>
      execFileSync('git', args, { encoding: 'utf8', cwd: RESULTS.replace(/results\/$/, '') })
    const changed = git('status', '--porcelain', '--untracked-files=no').trim() !== ''
    return git('rev-parse', '--short=12', 'HEAD').trim() + (changed ? ' with changes' : '')
  } catch {
    return 'unknown'
  }
}
