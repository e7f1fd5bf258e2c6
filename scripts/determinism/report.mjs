/**
 * From the results of all environments to verdicts and tables: the reproducible runtime against this Node's
 * digests and the recorded ones, the native runtime by its distances.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { record } from '../../bench/record.mjs'
import { differences, differingPositions } from './compare.mjs'
import { digestOfRun } from './digests.mjs'
import { WASM_BINARY } from './environments.mjs'

const SHOWN_DIGEST = 16
/** Fewer would replace a record by a poorer one. */
const MODELS_TO_RECORD = 6
const RECORDED = 'recorded before'
/** What to do where the recorded digests are not those of now, although model and inputs are the same. */
const ABOUT_RECORD =
  'if what a trace holds was changed on purpose, delete bench/results/determinism.json and run again'

/**
 * @param given `{ models: [{ name, sha256 }], runs, absent, recorded, smoke }`
 * @returns `{ failures, missing }`, lines for people.
 */
export async function report({ models, runs, absent, recorded, smoke }) {
  const skipped = runs.filter(({ why }) => why !== undefined)
  const missing = [
    ...skipped.map((run) => `${titleOf(run)}: ${run.why}`),
    ...absent.map(({ name, why }) => `model ${name}: ${why}`),
  ]
  const failures = runs
    .filter(({ failure }) => failure !== undefined)
    .map((run) => `${titleOf(run)}: ${run.failure}`)
  const byId = new Map(runs.map((run) => [run.id, run]))
  const here = byId.get('wasm').result
  if (here === undefined) return { failures, missing }

  const others = runs.filter(({ id, runtime }) => runtime === 'wasm' && id !== 'wasm')
  const reproducible = await reproducibleTable({ models, here, others, recorded })
  failures.push(...reproducible.failures)
  const sections = nativeSections({ models, runs, here })
  const complete = skipped.length === 0 && failures.length === 0 && models.length >= MODELS_TO_RECORD
  record('determinism', {
    title: 'The same bits everywhere: digests of every tensor',
    about: about({ here, runs, missing, recorded }),
    columns: reproducible.columns,
    rows: reproducible.rows,
    targets: reproducible.targets,
    data: {
      runtime: here.runtime,
      wasmSha256: createHash('sha256').update(readFileSync(WASM_BINARY)).digest('hex'),
      environments: runs.map(environmentData),
      models: reproducible.models,
      native: sections.map(({ title, data }) => ({ title, models: data })),
    },
    sections: [...sections, environmentSection(runs)],
    command: 'node scripts/determinism/run.mjs FIXTURES_DIR',
    write: complete && !smoke,
  })
  return { failures, missing }
}

function titleOf({ title, runtime }) {
  return `${runtime}, ${title}`
}

/** One row a model, one column an environment: 'equal', or the first tensor that is not. */
async function reproducibleTable({ models, here, others, recorded }) {
  const rows = []
  const failures = []
  const data = {}
  const counts = new Map()
  const known = recorded?.data?.runtime?.version === here.runtime.version ? recorded.data.models : {}
  const columns = [
    ...others.map(({ title, result }) => ({ title, tensorsOf: (name) => result?.models[name]?.tensors })),
    {
      title: RECORDED,
      tensorsOf: (name, sha256) => sameJob(known[name], { sha256, run: here.models[name] }),
    },
  ]
  for (const { name, sha256 } of models) {
    const { tensors } = here.models[name]
    const digest = await digestOfRun(tensors)
    const cells = columns.map(({ title, tensorsOf }) => {
      const got = tensorsOf(name, sha256)
      if (got === undefined) return 'not run'
      const [first] = differingPositions(tensors, got)
      const [equal, run] = counts.get(title) ?? [0, 0]
      counts.set(title, [equal + (first === undefined ? 1 : 0), run + 1])
      if (first === undefined) return 'equal'
      const where = `differs from tensor ${first} ${tensors[first]?.name} (${tensors[first]?.operator})`
      failures.push(`${name}, ${title}: ${where}${title === RECORDED ? `: ${ABOUT_RECORD}` : ''}`)
      return where
    })
    rows.push([name, tensors.length, `\`${digest.slice(0, SHOWN_DIGEST)}\``, ...cells])
    data[name] = { modelSha256: sha256, digest, tensors: tensors.map(tensorLine) }
  }
  const targets = [...counts].map(([title, [equal, run]]) => ({
    what: `runs with every digest equal to this Node's, ${title}`,
    target: `${run} of ${run}`,
    measured: `${equal} of ${run}`,
    met: equal === run,
  }))
  return {
    columns: ['model', 'tensors', 'digest of the run', ...columns.map(({ title }) => title)],
    rows,
    targets,
    failures,
    models: data,
  }
}

/** The recorded tensors, if they are of the same model on the same inputs. */
function sameJob(known, { sha256, run }) {
  if (known === undefined || known.modelSha256 !== sha256) return undefined
  const tensors = known.tensors.map(parseTensorLine)
  const inputs = run.tensors.filter(({ operator }) => operator === 'input')
  return inputs.every(({ digest }, at) => tensors[at]?.digest === digest) ? tensors : undefined
}

/** A tensor on one line of the record; names may hold spaces. */
function tensorLine({ digest, operator, name }) {
  return `${digest} ${operator} ${name}`
}

function parseTensorLine(line) {
  const [digest, operator, ...name] = line.split(' ')
  return { digest, operator, name: name.join(' ') }
}

/** The native runtime here and on emulated CPUs. Without fused multiplication it comes close to the reproducible one. */
function nativeSections({ models, runs, here }) {
  const native = runs.find(({ id }) => id === 'native').result
  const emulated = runs.filter(({ runtime, isEmulated }) => runtime === 'native' && isEmulated)
  const againstReproducible = emulated.filter(({ hasFma }) => !hasFma)
  return [
    { title: 'The native runtime here, against the reproducible one', got: native, expected: here },
    ...emulated.map(({ title, result }) => ({
      title: `The native runtime on an ${title}, against itself here`,
      got: result,
      expected: native,
    })),
    ...againstReproducible.map(({ title, result }) => ({
      title: `The native runtime on an ${title} (no fused multiplication), against the reproducible one`,
      got: result,
      expected: here,
    })),
  ]
    .filter(({ got, expected }) => got !== undefined && expected !== undefined)
    .map((section) => distanceSection(models, section))
}

/** One row a model: how many tensors differ, where first, by how much there and at most. */
function distanceSection(models, { title, got, expected }) {
  const columns = ['model', 'tensors that differ', 'first', 'there, absolute', 'there, ulp']
  columns.push('most, absolute', 'most, of the largest value', 'most, ulp')
  const data = {}
  const rows = models.map(({ name }, at) => {
    const [a, b] = [expected, got].map(({ models: byName, dump }) => ({ ...byName[name], dump }))
    const list = differences({ expected: a, got: b, at })
    data[name] = summary(list, a.tensors.length)
    const { differing, tensors, first, most } = data[name]
    const distances = [first?.maxAbs, first?.maxUlp, most.maxAbs, most.relative, most.maxUlp]
    const place = first === null ? '–' : `${first.name} (${first.operator})`
    return [name, `${differing} of ${tensors}`, place, ...distances.map(shown)]
  })
  return { title, columns, rows, data }
}

function summary(list, tensors) {
  const most = (key) => (list.length === 0 ? null : Math.max(...list.map((entry) => entry[key] ?? 0)))
  return {
    tensors,
    differing: list.length,
    first: list[0] ?? null,
    most: { maxAbs: most('maxAbs'), relative: most('relative'), maxUlp: most('maxUlp') },
  }
}

/** What ran where, and for how long; a browser's processes are not timed. */
function environmentSection(runs) {
  const rows = runs.map(({ title, runtime, program, why, failure, seconds, result }) => {
    const outcome = why ?? failure ?? 'ran'
    return [title, runtime, program ?? '–', outcome, seconds ?? '–', result?.cpuSeconds ?? '–']
  })
  const columns = ['environment', 'runtime', 'program', 'outcome', 'seconds', 'of them on a core']
  return { title: 'Environments', columns, rows }
}

function environmentData({ id, title, runtime, program, why, failure, seconds, result }) {
  const { engine, cpuSeconds } = result ?? {}
  return { id, title, runtime, program, skipped: why, failure, seconds, engine, cpuSeconds }
}

/** Counts in full while they are short; a dash where nothing differs, or has no units in the last place. */
function shown(number) {
  if (number === null || number === undefined) return '–'
  return Number.isInteger(number) && number < 1e6 ? String(number) : number.toExponential(1)
}

function recordedOn({ measuredOn: { machine, node, date } }) {
  return `${machine}, Node ${node}, ${date}`
}

function about({ here, runs, missing, recorded }) {
  const programs = [...new Set(runs.map(({ program }) => program).filter((program) => program !== undefined))]
  const skipped = missing.length === 0 ? [] : ['', `Skipped: ${missing.join('; ')}.`]
  return [
    `Every tensor of each model was hashed (SHA-256 over type, shape and bits) with onnxruntime-web ${here.runtime.version},`,
    'one thread, graph optimisations off: in Node, in a browser, and in Node under emulated CPUs without AVX and fused',
    'multiplication. A cell says whether all digests equal those of Node on the machine below. Programs:',
    `${programs.join('; ')}.`,
    ...(recorded === undefined ? [] : [`Recorded before: on ${recordedOn(recorded)}.`]),
    ...skipped,
  ].join('\n')
}
