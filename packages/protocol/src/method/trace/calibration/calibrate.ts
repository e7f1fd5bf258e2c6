/**
 * Calibration: honest distances of some rows, thresholds from them, and on other rows the false alarms and what
 * is missed of the nearest cheats.
 *
 * Rows are split: thresholds come from the first part, rates from the second, so that they are not judged on
 * what they were made from. Rows must be drawn alike (shuffle data that are sorted).
 */

import { utf8 } from '../../../core/bytes.ts'
import type { Cid } from '../../../core/cid.ts'
import { hashFields } from '../../../core/digest.ts'
import { AssayError } from '../../../core/errors.ts'
import { rowInputs } from '../../../onnx/batch.ts'
import { type Graph, openGraph } from '../../../onnx/graph.ts'
import type { Model } from '../../../onnx/model.ts'
import type { Runtime, Session } from '../../../onnx/runtime.ts'
import type { Tensor } from '../../../state/tensor.ts'
import type { NamedTensors } from '../../../state/tensors.ts'
import { tracedOutputs } from '../proof.ts'
import { type Cheat, nearestCheats } from './cheats.ts'
import { type DistanceLog, distanceLog, isFloat, tensorDistance } from './distances.ts'
import {
  type Claim,
  drawsToCatch,
  type Examiner,
  examine,
  type Findings,
  type PowerRates,
  ratesOf,
} from './power.ts'
import {
  type CalibrationProfile,
  type Configuration,
  MAX_SAFETY,
  orderStatistic,
  samplesFor,
} from './profile.ts'
import { type CalibrationRun, readRunRow } from './run-file.ts'
import { describeLayers, type LayerReport, thresholdsOf } from './summary.ts'
import { checkableNodes, type NodeRunner, nodeRunner, openPlain, openTracer, type Tracer } from './traces.ts'

/** A way to run the model on this machine. */
export interface Side {
  readonly configuration: Configuration
  readonly runtime: Runtime
}

export interface CalibrationOptions {
  /** Whose recomputation is compared with: the side that checks. */
  readonly verifier: Side
  /** Honest provers; the first also runs the cheats. */
  readonly provers: readonly Side[]
  /** Recorded runs of other machines: of all rows. */
  readonly runs?: readonly CalibrationRun[]
  /** All rows. */
  readonly inputs: NamedTensors
  /** Rows for thresholds, and other rows for rates. */
  readonly rows: { readonly calibrate: readonly number[]; readonly heldOut: readonly number[] }
  /** 0.01 unless told. */
  readonly alpha?: number
  /** 1 unless told; see profile.ts. */
  readonly safety?: number
  readonly otherModel?: Model
  /** YYYY-MM-DD */
  readonly date: string
  readonly onProgress?: (stage: string, done: number, total: number) => void
  readonly signal?: AbortSignal
}

export interface CheatReport {
  readonly name: string
  readonly description: string
  /** Cheating runs that passed. */
  readonly missed: PowerRates
  /** Draws that catch 99 % of such runs. */
  readonly draws: number | null
  /** Nodes that were refused in at least one row. */
  readonly refused: readonly number[]
}

export interface CalibrationReport {
  readonly profile: CalibrationProfile
  readonly nodes: number
  readonly layers: readonly LayerReport[]
  /** The same tensors between whole runs, where differences add up. */
  readonly wholeRun: readonly LayerReport[]
  readonly outputs: readonly LayerReport[]
  readonly heldOut: number
  /** Honest held-out rows that were refused, by any prover. */
  readonly falseAlarms: PowerRates
  readonly cheats: readonly CheatReport[]
}

/**
 * @throws AssayError `calibration/too-few`, `calibration/config`, `calibration/not-comparable`,
 * `calibration/other-run`, and what running the model throws.
 */
export async function calibrate(model: Model, options: CalibrationOptions): Promise<CalibrationReport> {
  const { alpha = 0.01, safety = 1, rows } = options
  assertOptions({ ...options, alpha, safety })
  const graph = openGraph(model)
  const bench = await openBench(graph, options)
  try {
    const logs = { layers: distanceLog(), wholeRun: distanceLog(), outputs: distanceLog() }
    for (const [done, row] of rows.calibrate.entries()) {
      options.onProgress?.('honest runs', done, rows.calibrate.length)
      options.signal?.throwIfAborted()
      await measureRow(bench, row, logs)
    }
    const first = await bench.truth(rows.calibrate[0] as number)
    const profile: CalibrationProfile = {
      model: model.cid as Cid,
      dtype: Object.values(first.tensors).find(isFloat)?.dtype ?? 'float32',
      verifier: options.verifier.configuration,
      provers: bench.provers.map(({ configuration }) => configuration),
      alpha,
      samples: rows.calibrate.length,
      safety,
      date: options.date,
      layers: thresholdsOf(logs.layers, { alpha, safety }),
      outputs: thresholdsOf(logs.outputs, { alpha, safety }),
    }
    const power = await measurePower(bench, profile, first.tensors)
    const describe = (log: DistanceLog, list: readonly { readonly name: string }[]) =>
      describeLayers(graph, { log, thresholds: list as CalibrationProfile['layers'], trace: first.tensors })
    return {
      profile,
      nodes: checkableNodes(graph).length,
      layers: describe(logs.layers, profile.layers),
      wholeRun: describe(logs.wholeRun, []),
      outputs: describe(logs.outputs, profile.outputs),
      heldOut: rows.heldOut.length,
      ...power,
    }
  } finally {
    await bench.close()
  }
}

function assertOptions({
  alpha,
  safety,
  rows,
  provers,
  runs = [],
}: CalibrationOptions & { readonly alpha: number; readonly safety: number }): void {
  if (!(safety >= 1 && safety <= MAX_SAFETY)) {
    throw new AssayError(
      'calibration/config',
      `expected a safety factor from 1 to ${MAX_SAFETY}, got ${safety}`,
    )
  }
  if (provers.length === 0) throw new AssayError('calibration/config', 'expected at least one prover')
  const names = [...provers, ...runs].map(({ configuration }) => configuration.name)
  if (new Set(names).size !== names.length) {
    throw new AssayError(
      'calibration/config',
      `expected configurations of different names, got ${names.join('; ')}`,
    )
  }
  // Refuses too few rows before hours of runs.
  orderStatistic(new Array(rows.calibrate.length).fill(0), alpha)
  const known = new Set(rows.calibrate)
  if (rows.heldOut.length === 0 || rows.heldOut.some((row) => known.has(row))) {
    throw new AssayError(
      'calibration/config',
      'expected at least one held-out row, and none that thresholds are made from',
      { detail: { needed: samplesFor(alpha) + 1 } },
    )
  }
}

/** Runs of one row, honest ones. */
interface Bench {
  readonly graph: Graph
  readonly options: CalibrationOptions
  readonly runner: NodeRunner
  readonly provers: readonly {
    readonly configuration: Configuration
    readonly claim: (row: number) => Promise<Claim>
  }[]
  inputs(row: number): NamedTensors
  /** The verifier's own run. */
  truth(row: number): Promise<Claim>
  close(): Promise<void>
}

async function openBench(graph: Graph, options: CalibrationOptions): Promise<Bench> {
  const { verifier, provers, runs = [], inputs: all } = options
  const open: { close(): Promise<void> }[] = []
  const inputs = (row: number) => rowInputs(graph.model, all, { index: row })
  const closeAll = async () => {
    for (const one of open) await one.close()
  }
  const claimer = async (side: Side) => {
    const runner = await openClaimer(graph, side.runtime)
    open.push(runner)
    return (row: number) => runner.claim(row, inputs(row))
  }
  try {
    const truth = await claimer(verifier)
    const local = []
    for (const side of provers) {
      local.push({ configuration: side.configuration, claim: await claimer(side) })
    }
    const recorded = runs.map((run) => ({
      configuration: run.configuration,
      claim: async (row: number): Promise<Claim> => {
        const tensors = readRunRow(run, { graph, row, inputs: inputs(row) })
        return { row, tensors, output: pick(tensors, tracedOutputs(graph)) }
      },
    }))
    const runner = nodeRunner(graph, verifier.runtime)
    open.push(runner)
    return { graph, options, runner, provers: [...local, ...recorded], inputs, truth, close: closeAll }
  } catch (error) {
    await closeAll()
    throw error
  }
}

/** Trace and plain output of a model: a prover that does not trace runs it in one go, with fused nodes. */
async function openClaimer(graph: Graph, runtime: Runtime) {
  const tracer: Tracer = await openTracer(graph, runtime)
  let plain: Session
  try {
    plain = await openPlain(graph.model, runtime)
  } catch (error) {
    await tracer.close()
    throw error
  }
  return {
    claim: async (row: number, inputs: NamedTensors): Promise<Claim> => ({
      row,
      tensors: await tracer.trace(inputs),
      output: pick(await plain.run(inputs), tracedOutputs(graph)),
    }),
    close: async () => {
      await tracer.close()
      await plain.close()
    },
  }
}

function pick(tensors: NamedTensors, names: readonly string[]): NamedTensors {
  return Object.fromEntries(names.map((name) => [name, tensors[name] as Tensor]))
}

interface Logs {
  readonly layers: DistanceLog
  readonly wholeRun: DistanceLog
  readonly outputs: DistanceLog
}

async function measureRow(bench: Bench, row: number, logs: Logs): Promise<void> {
  const { graph, runner } = bench
  const truth = await bench.truth(row)
  for (const { configuration, claim: run } of bench.provers) {
    const claim = await run(row)
    const place = (name: string) => ({ name, configuration: configuration.name })
    for (const node of checkableNodes(graph)) {
      const computed = await runner.run(node, claim.tensors)
      for (const name of node.outputs) {
        if (name === '') continue
        const committed = claim.tensors[name] as Tensor
        logs.layers.add(place(name), tensorDistance(computed[name] as Tensor, committed))
        logs.wholeRun.add(place(name), tensorDistance(truth.tensors[name] as Tensor, committed))
      }
    }
    for (const [name, tensor] of Object.entries(truth.output)) {
      logs.outputs.add(place(name), tensorDistance(tensor, claim.output[name] as Tensor))
    }
  }
}

async function measurePower(bench: Bench, profile: CalibrationProfile, trace: NamedTensors) {
  const { graph, options, runner } = bench
  const { heldOut } = options.rows
  const examiner: Examiner = { graph, runner, profile }
  const cheats = nearestCheats(graph, {
    trace,
    seed: hashFields('assay/calibration-cheats/v1', [utf8(graph.model.cid)]),
    ...(options.otherModel === undefined ? {} : { otherModel: options.otherModel }),
  })
  const steps = cheats.length + bench.provers.length
  const overRows = async (claim: (row: number) => Promise<Claim>, step: number): Promise<Findings[]> => {
    const findings: Findings[] = []
    for (const [done, row] of heldOut.entries()) {
      options.onProgress?.('false alarms and cheats', step * heldOut.length + done, steps * heldOut.length)
      options.signal?.throwIfAborted()
      const { output } = await bench.truth(row)
      findings.push(await examine(examiner, await claim(row), { inputs: bench.inputs(row), output }))
    }
    return findings
  }
  const honest: Findings[][] = []
  for (const [step, { claim }] of bench.provers.entries()) honest.push(await overRows(claim, step))
  const reports: CheatReport[] = []
  for (const [at, cheat] of cheats.entries()) {
    const cheater = await openCheater(bench, cheat)
    try {
      const findings = await overRows(cheater.claim, bench.provers.length + at)
      const { name, description } = cheat
      const refused = [...new Set(findings.flatMap((found) => found.refused))].sort((a, b) => a - b)
      const draws = drawsToCatch(findings)
      reports.push({ name, description, missed: ratesOf(findings, 'missed'), draws, refused })
    } finally {
      await cheater.close()
    }
  }
  return { falseAlarms: ratesOf(ofAnyProver(honest), 'refused'), cheats: reports }
}

/** One finding a row: refused where any prover is. Provers of one row are not independent, and count once. */
function ofAnyProver(byProver: readonly (readonly Findings[])[]): Findings[] {
  const [first = []] = byProver
  return first.map((_, row) => {
    const found = byProver.map((findings) => findings[row] as Findings)
    return {
      oneNode: found.some(({ oneNode }) => oneNode),
      allNodes: found.some(({ allNodes }) => allNodes),
      endToEnd: found.some(({ endToEnd }) => endToEnd),
      hit: found.reduce((most, { hit }) => Math.max(most, hit), 0),
      refused: [...new Set(found.flatMap(({ refused }) => refused))],
    }
  })
}

/** A prover that runs the cheat, and commits to what came out under the names of the right model. */
async function openCheater({ graph, options, inputs }: Bench, { model, name }: Cheat) {
  const { runtime } = options.provers[0] as Side
  const { heldOut } = options.rows
  const other = await openClaimer(model === null ? graph : openGraph(model), runtime)
  const claim = async (row: number): Promise<Claim> => {
    if (model !== null) return assertClaim(graph, await other.claim(row, inputs(row)), name)
    const next = heldOut[(heldOut.indexOf(row) + 1) % heldOut.length] as number
    return other.claim(row, inputs(next))
  }
  return { claim, close: other.close }
}

/** Another model must have the tensors of this one: only its numbers may differ. */
function assertClaim(graph: Graph, claim: Claim, cheat: string): Claim {
  const missing = graph.traced.find(({ name }) => !Object.hasOwn(claim.tensors, name))
  if (missing === undefined) return claim
  throw new AssayError(
    'calibration/config',
    `the model of cheat ${JSON.stringify(cheat)} has no tensor ${JSON.stringify(missing.name)}: give one of the same graph`,
  )
}
