/** Programs that the environments need, and whether this machine has them. */
import { spawnSync } from 'node:child_process'

function find(names) {
  for (const name of names) {
    if (name === undefined) continue
    const { status, stdout } = spawnSync(name, ['--version'], { encoding: 'utf8' })
    if (status === 0) return { path: name, version: stdout.split('\n')[0].trim() }
  }
  return undefined
}

/** `{ path, version }`, or `{ why }` where it is missing. */
export function findChromium() {
  const names = [process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome']
  return find(names) ?? { why: 'no Chromium: install it (Debian: chromium), or name one in $CHROMIUM' }
}

/** User-mode emulation runs this very Node, so that it must be one for x86-64 Linux. */
export function findEmulator() {
  const { platform, arch } = process
  if (platform !== 'linux' || arch !== 'x64') {
    return { why: `CPUs for x86-64 are emulated for Node on x86-64 Linux; this is ${platform} ${arch}` }
  }
  const names = [process.env.QEMU_X86_64, 'qemu-x86_64', 'qemu-x86_64-static']
  return find(names) ?? { why: 'no qemu-x86_64: install it (Debian: qemu-user), or name one in $QEMU_X86_64' }
}
