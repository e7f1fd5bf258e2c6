/**
 * Error codes: each one that the sources use is declared in an `*_ERRORS` table, each declared one is used,
 * none is declared twice, and each has its texts. A use is a literal where the type checker wants an
 * `ErrorCode`; a code put together at run time is refused, because nobody could look it up.
 */
import { relative } from 'node:path'
import ts from 'typescript'
import { errorTables } from './error-tables.mjs'
import { ROOT } from './prepare.mjs'

const CODE = /^[a-z][a-z0-9-]*\/[a-z0-9][a-z0-9-]*$/
const FEWEST_USES = 20

function programOf(name) {
  const path = `${ROOT}/packages/${name}/tsconfig.json`
  const parsed = ts.parseJsonConfigFileContent(
    ts.readConfigFile(path, ts.sys.readFile).config,
    ts.sys,
    `${ROOT}/packages/${name}`,
  )
  return ts.createProgram({
    rootNames: parsed.fileNames,
    options: parsed.options,
    projectReferences: parsed.projectReferences,
  })
}

/** Adds to `found`: uses (code -> place), literals (every string) and problems of one package. */
function usesOf(name, found) {
  const program = programOf(name)
  const checker = program.getTypeChecker()
  for (const source of program.getSourceFiles()) {
    const path = relative(ROOT, source.fileName).replaceAll('\\', '/')
    if (!path.startsWith(`packages/${name}/src/`) || path.endsWith('/errors.ts')) continue
    const visit = (node) => {
      if (ts.isStringLiteralLike(node)) {
        found.literals.add(node.text)
        if (isCode(checker.getContextualType(node))) found.uses.set(node.text, place(source, path, node))
      } else if (ts.isTemplateExpression(node) && isCode(checker.getContextualType(node))) {
        found.problems.push(`${place(source, path, node)}: a code put together at run time`)
      }
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
}

/** Whether a type is `ErrorCode`, or a union of which it is a part. */
function isCode(type) {
  if (type === undefined) return false
  if (type.isUnion()) return type.types.some(isCode)
  return (
    (type.flags & ts.TypeFlags.TemplateLiteral) !== 0 &&
    type.texts.join('*') === '*/*' &&
    type.types.every((part) => (part.flags & ts.TypeFlags.String) !== 0)
  )
}

function place(source, path, node) {
  return `${path}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
}

const found = { uses: new Map(), literals: new Set(), problems: [] }
for (const name of ['protocol', 'node']) usesOf(name, found)

const declared = new Map()
for (const { file, entries } of await errorTables()) {
  for (const [code, entry] of Object.entries(entries)) {
    if (declared.has(code)) found.problems.push(`${file}: ${code} is also declared in ${declared.get(code)}`)
    if (!CODE.test(code)) found.problems.push(`${file}: ${code} is not of the form area/reason`)
    if (!entry.meaning || !entry.remedy) found.problems.push(`${file}: ${code} lacks a meaning or a remedy`)
    if (!found.literals.has(code)) found.problems.push(`${file}: ${code} is declared but never used`)
    declared.set(code, file)
  }
}
for (const [code, where] of found.uses) {
  if (!declared.has(code)) found.problems.push(`${where}: ${code} is used but declared in no errors.ts`)
}
if (found.uses.size < FEWEST_USES) {
  found.problems.push(`only ${found.uses.size} codes were seen in use: the check sees nothing`)
}
for (const problem of found.problems) console.error(problem)
console.log(`errors: ${declared.size} declared, ${found.uses.size} used, ${found.problems.length} problems`)
process.exitCode = found.problems.length > 0 ? 1 : 0
