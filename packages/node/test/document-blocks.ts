/**
 * Reads the runnable blocks out of a Markdown document, for readme.test.ts.
 *
 * Runnable is a `ts` block, and a `bash` block whose first command begins with `npx assay` or `node`. A line
 * `<!-- not run: reason -->` before a block, blank lines aside, leaves it out.
 */

export interface Block {
  readonly language: 'bash' | 'ts'
  readonly text: string
  /** Line of the document on which the fence opens, from 1. */
  readonly line: number
  /** Why it is not run. */
  readonly skipped?: string
}

export interface Command {
  readonly text: string
  /** What the document promises with a closing `# exit N`; 0 unless it does. */
  readonly exitCode: number
}

const FENCE = /^(\s*)(`{3,})\s*([\w-]*)\s*$/
const NOT_RUN = /^\s*<!--\s*not run:\s*(.*?)\s*-->\s*$/

export function blocksOf(markdown: string): Block[] {
  const lines = markdown.split(/\r?\n/)
  const blocks: Block[] = []
  for (let at = 0; at < lines.length; at++) {
    const fence = FENCE.exec(lines[at] ?? '')
    if (fence === null) continue
    const [, indent = '', ticks = '', language] = fence
    const end = lines.findIndex((line, index) => index > at && line.trim() === ticks)
    if (end < 0) throw new Error(`the block that opens on line ${at + 1} is not closed`)
    const text = lines
      .slice(at + 1, end)
      .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
      .join('\n')
    if (isRunnable(language, text)) blocks.push({ language, text, line: at + 1, ...skip(lines, at) })
    at = end
  }
  return blocks
}

function isRunnable(language: string | undefined, text: string): language is Block['language'] {
  if (language === 'ts') return true
  return language === 'bash' && /^(npx assay|node) /.test(commandsOf(text)[0]?.text ?? '')
}

function skip(lines: readonly string[], fence: number): { readonly skipped?: string } {
  let before = fence - 1
  while (before >= 0 && lines[before]?.trim() === '') before--
  const reason = NOT_RUN.exec(lines[before] ?? '')?.[1]
  if (reason === '') throw new Error(`line ${before + 1}: "not run" needs a reason`)
  return reason === undefined ? {} : { skipped: reason }
}

/** The commands of a shell block: continued lines joined, comments and blank lines left out. */
export function commandsOf(text: string): Command[] {
  const joined = text.replace(/\\\n\s*/g, ' ').split('\n')
  return joined
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const promise = /\s#.*\bexit (\d+)\b/.exec(line)
      return { text: line, exitCode: Number(promise?.[1] ?? 0) }
    })
}

/** What a TypeScript block says it prints: the comment behind each `console.log(…)` that has one. */
export function promisedLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /console\.log\(.*\)\s*\/\/\s*(.+)$/.exec(line)?.[1]?.trim())
    .filter((line) => line !== undefined)
}
