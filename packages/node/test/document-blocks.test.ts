import { describe, expect, test } from 'vitest'
import { blocksOf, commandsOf, promisedLines } from './document-blocks.ts'

const fence = (language: string, text: string) => `\`\`\`${language}\n${text}\n\`\`\`\n`

describe('blocksOf', () => {
  test('takes TypeScript, and shell that begins with our command or node', () => {
    const markdown = [
      fence('bash', 'npm start'),
      fence('bash', '# verify\nnpx assay verify run/'),
      fence('ts', 'const x = 1'),
      fence('bash', 'node examples/a.mjs'),
      fence('text', 'npx assay verify'),
      fence('', 'npx assay verify'),
    ].join('\n')
    expect(blocksOf(markdown).map(({ language, line }) => [language, line])).toEqual([
      ['bash', 5],
      ['ts', 10],
      ['bash', 14],
    ])
  })

  test('leaves out what says why', () => {
    const [block] = blocksOf(`<!-- not run: needs a GPU -->\n\n${fence('ts', 'x')}`)
    expect(block?.skipped).toBe('needs a GPU')
  })

  test('refuses a skip without a reason, and an open fence', () => {
    expect(() => blocksOf(`<!-- not run: -->\n${fence('ts', 'x')}`)).toThrow(/reason/)
    expect(() => blocksOf('```ts\nx')).toThrow(/not closed/)
  })

  test('strips the indentation of a block inside a list', () => {
    expect(blocksOf('1. do\n\n   ```ts\n   a\n     b\n   ```\n')[0]?.text).toBe('a\n  b')
  })
})

describe('commandsOf', () => {
  test('joins continued lines and reads the promised exit code', () => {
    const text = '# two parties\nnpx assay solve \\\n  --out run/\n\nnpx assay verify run/ # rejected, exit 1'
    expect(commandsOf(text)).toEqual([
      { text: 'npx assay solve  --out run/', exitCode: 0 },
      { text: 'npx assay verify run/ # rejected, exit 1', exitCode: 1 },
    ])
  })
})

test('promisedLines reads the comments behind console.log', () => {
  expect(promisedLines('console.log(a) // 463\nconsole.log(b)\nconst c = 1 // no')).toEqual(['463'])
})
