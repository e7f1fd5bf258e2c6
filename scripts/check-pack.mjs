/**
 * What a user gets: both packages are packed, installed into an empty project away from this tree, imported
 * from JavaScript, type-checked from TypeScript, and the command line is run.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepare, ROOT } from './prepare.mjs'

const CONSUMER = `import { toHex, utf8 } from 'assay/core/bytes'
import { sha256, type Digest } from 'assay/core/digest'
const digest: Digest = sha256(utf8('abc'))
export const text: string = toHex(digest)
`
const SETTINGS = {
  compilerOptions: {
    module: 'NodeNext',
    target: 'ES2022',
    lib: ['ES2023', 'DOM'],
    strict: true,
    types: [],
    outDir: 'out',
    rootDir: '.',
  },
  files: ['consumer.ts'],
}

prepare()
const home = mkdtempSync(join(tmpdir(), 'assay-pack-'))
const npm = (args, cwd) => execFileSync('npm', [...args, '--loglevel=error'], { cwd, encoding: 'utf8' })
try {
  for (const folder of ['protocol', 'node']) {
    npm(['pack', '--pack-destination', home], join(ROOT, 'packages', folder))
  }
  const tarballs = readdirSync(home).filter((name) => name.endsWith('.tgz'))
  writeFileSync(join(home, 'package.json'), '{"private":true,"type":"module"}')
  writeFileSync(join(home, '.npmrc'), 'onnxruntime-node-install=skip\n')
  npm(['install', '--no-audit', '--no-fund', ...tarballs.map((name) => `./${name}`)], home)

  writeFileSync(join(home, 'consumer.ts'), CONSUMER)
  writeFileSync(join(home, 'tsconfig.json'), JSON.stringify(SETTINGS))
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', home], {
    stdio: 'inherit',
  })
  const { text } = await import(join(home, 'out/consumer.js'))
  if (!text.startsWith('ba7816bf')) throw new Error(`the packed library gives a wrong digest: ${text}`)

  const plan = [
    'plan',
    '--states',
    '1000000',
    '--faked',
    '0.01',
    '--confidence',
    '0.99',
    '--fpr',
    '0.01',
    '--json',
  ]
  const { samples } = JSON.parse(
    execFileSync(join(home, 'node_modules/.bin/assay'), plan, { encoding: 'utf8' }),
  )
  if (samples !== 463) throw new Error(`the packed command line plans ${samples} samples, expected 463`)
  console.log(`pack: ${tarballs.join(', ')} install and run`)
} finally {
  rmSync(home, { recursive: true, force: true })
}
