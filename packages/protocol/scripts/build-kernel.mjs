/**
 * Builds the WebAssembly kernel: kernel/assembly/*.ts -> asc -> src/core/kernel-wasm.generated.ts.
 *
 *   node packages/protocol/scripts/build-kernel.mjs           writes the file when it changed
 *   node packages/protocol/scripts/build-kernel.mjs --check   exits 1 when the committed file is not what comes out
 */
import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const kernel = fileURLToPath(new URL('../kernel/', import.meta.url))
const target = fileURLToPath(new URL('../src/core/kernel-wasm.generated.ts', import.meta.url))

const files = new Map()
const { error, stderr } = await asc.main(
  ['--config', 'asconfig.json', '--baseDir', kernel, '--outFile', 'kernel.wasm'],
  {
    readFile: (name, base) => readFile(resolve(base, name), 'utf8').catch(() => null),
    writeFile: (name, contents) => void files.set(name, contents),
  },
)
if (error) {
  process.stderr.write(`${stderr.toString()}${error.message}\n`)
  process.exit(1)
}

const wasm = Buffer.from(files.get('kernel.wasm'))
const source = `/** Made from packages/protocol/kernel by scripts/build-kernel.mjs. Do not edit. */

/** The kernel as WebAssembly, in base64: ${wasm.length} bytes. */
export const KERNEL_WASM =
  '${wasm.toString('base64')}'
`
const committed = await readFile(target, 'utf8').catch(() => '')
if (committed === source) {
  console.log(`kernel: ${wasm.length} bytes, unchanged`)
} else if (process.argv.includes('--check')) {
  console.error(`kernel: ${target} is not what its sources build to; run node scripts/build-kernel.mjs`)
  process.exit(1)
} else {
  await writeFile(target, source)
  console.log(`kernel: ${wasm.length} bytes, written`)
}
