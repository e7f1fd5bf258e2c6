/** Runs the script of an example as a user would, for the tests: resolves to what it printed. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export async function runExample(name) {
  const script = fileURLToPath(new URL(`./${name}/run.mjs`, import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [script])
  return stdout
}
