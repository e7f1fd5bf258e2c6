/**
 * CPU time of each thread of this process: what a job costs on a machine that others keep busy. Linux only.
 */
import { readdirSync, readFileSync } from 'node:fs'

const TASKS = '/proc/self/task'

/** Runs `work` and gives the CPU milliseconds of its busiest thread and of all threads; null where unknown. */
export async function threadTimes(work) {
  const before = read()
  await work()
  const after = read()
  if (before === null || after === null) return null
  const spent = [...after].map(([thread, ms]) => ms - (before.get(thread) ?? 0))
  return { busiestMs: Math.max(...spent), totalMs: spent.reduce((sum, ms) => sum + ms, 0) }
}

function read() {
  try {
    const threads = readdirSync(TASKS)
    return new Map(threads.map((thread) => [thread, onCpuMs(`${TASKS}/${thread}/schedstat`)]))
  } catch {
    return null
  }
}

/** The first number of schedstat: nanoseconds on a processor. */
function onCpuMs(path) {
  return Number(readFileSync(path, 'utf8').split(' ')[0]) / 1e6
}
