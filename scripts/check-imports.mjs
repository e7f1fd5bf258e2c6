/**
 * The order of imports and the absence of cycles (.dependency-cruiser.mjs), on the tree and on plants: one
 * small tree for each rule that breaks it. A rule whose plant is not caught, or a cruise that sees next to no
 * modules (dependency-cruiser does that, silently, with a TypeScript that it does not know), is a failure.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { cruise } from 'dependency-cruiser'
import config from '../.dependency-cruiser.mjs'
import { ROOT } from './prepare.mjs'

const FEWEST_MODULES = 20
const P = 'packages/protocol/src'
const N = 'packages/node/src'

/** rule -> files of a tree that breaks it. */
const PLANTS = {
  'order-core': { [`${P}/core/a.ts`]: "import '../state/b.ts'", [`${P}/state/b.ts`]: 'export {}' },
  'order-state': { [`${P}/state/a.ts`]: "import '../task/b.ts'", [`${P}/task/b.ts`]: 'export {}' },
  'order-task': { [`${P}/task/a.ts`]: "import '../onnx/b.ts'", [`${P}/onnx/b.ts`]: 'export {}' },
  'order-onnx': { [`${P}/onnx/a.ts`]: "import '../wasm/b.ts'", [`${P}/wasm/b.ts`]: 'export {}' },
  'order-wasm': { [`${P}/wasm/a.ts`]: "import '../program/b.ts'", [`${P}/program/b.ts`]: 'export {}' },
  'order-program': {
    [`${P}/program/a.ts`]: "import '../method/interface.ts'",
    [`${P}/method/interface.ts`]: 'export {}',
  },
  'order-method-interface': {
    [`${P}/method/interface.ts`]: "import type { B } from './sampling/b.ts'\nexport type A = B",
    [`${P}/method/sampling/b.ts`]: 'export type B = 1',
  },
  'order-method': {
    [`${P}/method/sampling/a.ts`]: "import '../../receipt/b.ts'",
    [`${P}/receipt/b.ts`]: 'export {}',
  },
  'order-registry': {
    [`${P}/method/registry.ts`]: "import '../receipt/b.ts'",
    [`${P}/receipt/b.ts`]: 'export {}',
  },
  'order-receipt': { [`${P}/receipt/a.ts`]: "import '../wire/b.ts'", [`${P}/wire/b.ts`]: 'export {}' },
  'order-wire': { [`${P}/wire/a.ts`]: "import '../settlement/b.ts'", [`${P}/settlement/b.ts`]: 'export {}' },
  'order-settlement': {
    [`${P}/settlement/a.ts`]: "import '../../../node/src/service/b.ts'",
    [`${N}/service/b.ts`]: 'export {}',
  },
  'order-service': { [`${N}/service/a.ts`]: "import '../store/b.ts'", [`${N}/store/b.ts`]: 'export {}' },
  'order-store': { [`${N}/store/a.ts`]: "import '../work/b.ts'", [`${N}/work/b.ts`]: 'export {}' },
  'order-work': { [`${N}/work/a.ts`]: "import '../executor/b.ts'", [`${N}/executor/b.ts`]: 'export {}' },
  'order-services': {
    [`${N}/executor/a.ts`]: "import '../network/b.ts'",
    [`${N}/network/b.ts`]: 'export {}',
  },
  'order-network': { [`${N}/network/a.ts`]: "import '../cli/b.ts'", [`${N}/cli/b.ts`]: 'export {}' },
  'services-apart': {
    [`${N}/coordinator/a.ts`]: "import '../verifier/b.ts'",
    [`${N}/verifier/b.ts`]: 'export {}',
  },
  'no-cycle': {
    [`${P}/core/a.ts`]: "import type { B } from './b.ts'\nexport type A = B",
    [`${P}/core/b.ts`]: "import type { A } from './a.ts'\nexport type B = A",
  },
  'methods-apart': {
    [`${P}/method/trace/a.ts`]: "import '../sampling/b.ts'",
    [`${P}/method/sampling/b.ts`]: 'export {}',
  },
  'verifier-without-prover': {
    [`${P}/method/sampling/verifier-lazy.ts`]: "import './proof.ts'",
    [`${P}/method/sampling/proof.ts`]: "import './prover-parallel.ts'",
    [`${P}/method/sampling/prover-parallel.ts`]: 'export {}',
  },
  'no-node-built-in': { [`${P}/core/a.ts`]: "export const read = async () => import('node:fs')" },
  'no-test-code-shipped': {
    [`${P}/core/a.ts`]: "import './testing/b.ts'",
    [`${P}/core/testing/b.ts`]: 'export {}',
  },
  'through-the-package': {
    [`${N}/a.ts`]: "import '../../protocol/src/core/b.ts'",
    [`${P}/core/b.ts`]: 'export {}',
  },
  'declared-dependencies': { [`${P}/core/a.ts`]: "import 'a-package-that-nobody-declared'" },
}

async function cruiseTree(baseDir) {
  const { output } = await cruise(['packages'], {
    ...config.options,
    baseDir,
    validate: true,
    ruleSet: { forbidden: config.forbidden },
  })
  const own = output.modules.filter((module) => /^packages\/[^/]+\/src\//.test(module.source))
  const imports = own.reduce((total, module) => total + module.dependencies.length, 0)
  return { violations: output.summary.violations, modules: own.length, imports }
}

async function checkPlants() {
  const rules = config.forbidden.map((rule) => rule.name)
  const failures = rules
    .filter((rule) => !(rule in PLANTS))
    .map((rule) => `rule ${rule} has no plant in scripts/check-imports.mjs`)
  for (const [rule, files] of Object.entries(PLANTS)) {
    const caught = await violationsOf({
      'package.json': '{"type":"module"}',
      'packages/protocol/package.json': '{"name":"assay","type":"module"}',
      'packages/node/package.json': '{"name":"@assay/node","type":"module"}',
      ...files,
    })
    if (!caught.includes(rule)) failures.push(`the planted violation of ${rule} was not caught`)
  }
  return failures
}

async function violationsOf(files) {
  const tree = mkdtempSync(join(tmpdir(), 'assay-imports-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(tree, path)), { recursive: true })
      writeFileSync(join(tree, path), `${text}\n`)
    }
    return (await cruiseTree(tree)).violations.map((violation) => violation.rule.name)
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
}

function describe({ rule, from, to, cycle, via }) {
  const path = (cycle ?? via ?? []).map((step) => step.name)
  return `${rule.name}: ${from} -> ${path.length > 0 ? path.join(' -> ') : to}`
}

const tree = await cruiseTree(ROOT)
const failures = tree.violations.map(describe)
if (tree.modules <= FEWEST_MODULES) {
  failures.push(`only ${tree.modules} modules were seen, expected more than ${FEWEST_MODULES}`)
}
failures.push(...(await checkPlants()))
for (const failure of failures) console.error(failure)
console.log(
  `imports: ${tree.modules} modules, ${tree.imports} imports, ` +
    `${Object.keys(PLANTS).length} planted violations, ${failures.length} failures`,
)
process.exitCode = failures.length > 0 ? 1 : 0
