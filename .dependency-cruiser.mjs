/**
 * The allowed order of imports, as ARCHITECTURE.md states it. `scripts/check-imports.mjs` runs these rules on
 * the tree, and on one planted violation of each, so that a rule that catches nothing is noticed.
 */

const PROTOCOL = '^packages/protocol/src/'
const NODE = '^packages/node/src/'
const SERVICES = 'coordinator|executor|verifier'
const NOT_SHIPPED = '(\\.test\\.ts|\\.bench\\.ts|/testing/.*)$'

/** From left to right: whatever stands here may import itself and what stands before it. */
export const LAYERS = [
  ['core', `${PROTOCOL}core/`],
  ['state', `${PROTOCOL}state/`],
  ['task', `${PROTOCOL}task/`],
  ['onnx', `${PROTOCOL}onnx/`],
  ['wasm', `${PROTOCOL}wasm/`],
  ['program', `${PROTOCOL}program/`],
  ['method-interface', `${PROTOCOL}method/(?!registry)[^/]+\\.ts$`],
  ['method', `${PROTOCOL}method/[^/]+/`],
  ['registry', `${PROTOCOL}method/registry\\.ts$`],
  ['receipt', `${PROTOCOL}receipt/`],
  ['wire', `${PROTOCOL}wire/`],
  ['settlement', `${PROTOCOL}settlement/`],
  ['service', `${NODE}service/`],
  ['store', `${NODE}store/`],
  ['work', `${NODE}work/`],
  ['services', `${NODE}(${SERVICES})/`],
  ['network', `${NODE}network/`],
  ['cli', `${NODE}cli/`],
]

const order = LAYERS.slice(0, -1).map(([name, path], index) => ({
  name: `order-${name}`,
  comment: `${name} imports only ${LAYERS.slice(0, index + 1)
    .map(([left]) => left)
    .join(', ')}.`,
  severity: 'error',
  from: { path },
  to: { path: LAYERS.slice(index + 1).map(([, right]) => right) },
}))

export default {
  forbidden: [
    ...order,
    {
      name: 'no-cycle',
      comment: 'Two files that import each other are one file, or lack a third. Types count.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'methods-apart',
      comment: 'A verification method never imports another: what they share belongs to the left of both.',
      severity: 'error',
      from: { path: `${PROTOCOL}method/([^/]+)/` },
      to: { path: `${PROTOCOL}method/[^/]+/`, pathNot: `${PROTOCOL}method/$1/` },
    },
    {
      name: 'services-apart',
      comment: 'Coordinator, node and verifier talk over the public protocol, and never import one another.',
      severity: 'error',
      from: { path: `${NODE}(${SERVICES})/` },
      to: { path: `${NODE}(${SERVICES})/`, pathNot: `${NODE}$1/` },
    },
    {
      name: 'verifier-without-prover',
      comment: 'A verifier never reaches a prover, directly or through others: it must not trust its code.',
      severity: 'error',
      from: { path: `${PROTOCOL}method/.*/verifier[^/]*\\.ts$`, pathNot: NOT_SHIPPED },
      to: { path: `${PROTOCOL}method/.*/prover[^/]*\\.ts$`, reachable: true },
    },
    {
      name: 'no-node-built-in',
      comment: 'The protocol runs in browsers. Only the native runtime and tests may use Node.',
      severity: 'error',
      from: { path: PROTOCOL, pathNot: [NOT_SHIPPED, `${PROTOCOL}onnx/runtime-native\\.ts$`] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-test-code-shipped',
      comment: 'What ships imports no test, benchmark or test helper.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: NOT_SHIPPED },
      to: { path: `^packages/.*${NOT_SHIPPED}` },
    },
    {
      name: 'through-the-package',
      comment: 'The node package imports `assay/…`, as any user does, and no file of the protocol by path.',
      severity: 'error',
      from: { path: '^packages/node/' },
      to: { path: '^packages/protocol/src/' },
    },
    {
      name: 'declared-dependencies',
      comment: 'An import that resolves to nothing, or to a package that package.json does not name.',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: NOT_SHIPPED },
      to: { dependencyTypes: ['unknown', 'undetermined', 'npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', '/dist/'] },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'default', 'node'],
      extensions: ['.ts', '.js', '.mjs', '.json', '.d.ts'],
    },
  },
}
