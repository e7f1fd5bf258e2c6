#!/usr/bin/env node
/** The `assay` command. The program is built from src/cli/main.ts; here is only the way to it. */
import { existsSync } from 'node:fs'

const program = new URL('../dist/cli/main.js', import.meta.url)
if (existsSync(program)) {
  const { main } = await import(program.href)
  process.exitCode = await main(process.argv.slice(2))
} else {
  console.error('assay is not built yet: run `npm run build` in the root of the repository, then try again.')
  process.exitCode = 2
}
