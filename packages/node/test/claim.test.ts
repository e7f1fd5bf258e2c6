import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { claimFolder } from '../dist/store/claim.js'

const CHILD = fileURLToPath(new URL('./fixtures/claim-child.mjs', import.meta.url))

let folder: string
const children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'assay-claim-'))
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(folder, { recursive: true })
})

function claimant() {
  const child = spawn(process.execPath, [CHILD, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  children.push(child)
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const line = async (index: number) => {
    await vi.waitUntil(() => said.split('\n').length > index + 1, { timeout: 10_000 })
    return said.split('\n')[index]
  }
  return { child, line }
}

describe('a claim', () => {
  it('is held by one, until it is released', () => {
    const first = claimFolder(folder, 'owner')
    expect(() => claimFolder(folder, 'owner')).toThrow(`in use by process ${process.pid}`)
    const other = claimFolder(folder, 'other')
    first.release()
    claimFolder(folder, 'owner').release()
    other.release()
    expect(readdirSync(folder)).toEqual([])
  })

  it('goes to one of many who come at once over one that a dead process left', async () => {
    writeFileSync(join(folder, 'owner.7'), JSON.stringify({ pid: 2 ** 22 + 1, identity: 'gone:1' }))
    const all = Array.from({ length: 6 }, claimant)
    for (const { line } of all) expect(await line(0)).toBe('ready')
    for (const { child } of all) child.stdin?.write('go\n')
    const said = await Promise.all(all.map(({ line }) => line(1)))
    expect(said.toSorted()).toEqual(['mine', ...Array.from({ length: 5 }, () => 'store/in-use')])
    expect(readdirSync(folder)).toEqual(['owner.8'])
  })

  it('ends with its process, whatever ends that', async () => {
    const { child, line } = claimant()
    await line(0)
    child.stdin?.write('go\n')
    expect(await line(1)).toBe('mine')
    expect(() => claimFolder(folder, 'owner')).toThrow(/in use/)
    child.kill('SIGKILL')
    await vi.waitUntil(() => child.signalCode !== null)
    claimFolder(folder, 'owner').release()
  })

  it('of a process whose id was given out again, or that is damaged, is void', () => {
    writeFileSync(join(folder, 'owner.1'), JSON.stringify({ pid: process.pid, identity: 'another-boot:1' }))
    claimFolder(folder, 'owner').release()
    writeFileSync(join(folder, 'owner.3'), '{"pid":')
    claimFolder(folder, 'owner').release()
  })
})
