/**
 * Metrics in the Prometheus text format, in a registry of one's own, so that several services in one process and
 * several tests in one run do not meet.
 *
 * Names carry their units (`assay_lease_wait_seconds`, `assay_jobs_accepted_total`) and are checked when they are
 * made. Label values must come from a short fixed list or a table of routes, never from a peer: each new value
 * is a new series for ever.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

const METRICS_PREFIX = 'assay_'

/** From half a millisecond, below which a request on one machine does not get, to a minute. */
const SECONDS_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
]
const NAME = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/

/** Values of the labels that a metric was made with. */
export type Labels<Name extends string> = Readonly<Record<Name, string>>

/** Trailing arguments: the labels, where a metric has some. */
type LabelArgs<Name extends string> = [Name] extends [never] ? [] : [labels: Labels<Name>]

export interface MetricOptions<Name extends string> {
  /** Without the prefix. */
  readonly name: string
  /** One sentence for the operator. */
  readonly help: string
  readonly labels?: readonly Name[]
}

export interface CounterMetric<Name extends string> {
  add(amount: number, ...labels: LabelArgs<Name>): void
}

export interface GaugeMetric<Name extends string> {
  set(value: number, ...labels: LabelArgs<Name>): void
}

export interface SecondsMetric<Name extends string> {
  observe(seconds: number, ...labels: LabelArgs<Name>): void
  /** Starts a clock; what it returns stops it, and returns the seconds. */
  start(): (...labels: LabelArgs<Name>) => number
}

export interface Metrics {
  /** A count that only grows. The name ends with `_total`. */
  counter<Name extends string = never>(options: MetricOptions<Name>): CounterMetric<Name>
  /** A value of now. With `read`, it is asked for at each scrape; one that throws is left out. */
  gauge<Name extends string = never>(
    options: MetricOptions<Name> & { readonly read?: () => number | Promise<number> },
  ): GaugeMetric<Name>
  /** A distribution of durations. The name ends with `_seconds`. */
  seconds<Name extends string = never>(options: MetricOptions<Name>): SecondsMetric<Name>
  /** Everything, as a scrape reads it. */
  render(): Promise<string>
  readonly contentType: string
}

/** `process` adds memory, garbage collection and the lag of the event loop of this process. */
export function createMetrics(options: { readonly process?: boolean } = {}): Metrics {
  const registry = new Registry()
  if (options.process === true) collectDefaultMetrics({ register: registry, prefix: METRICS_PREFIX })
  const common = <Name extends string>({ name, help, labels = [] }: MetricOptions<Name>, suffix = '') => {
    // Programmers' mistakes, found by the first test that makes the metric.
    if (!NAME.test(name) || !name.endsWith(suffix)) {
      throw new TypeError(`expected a metric in snake_case that ends with "${suffix}", got "${name}"`)
    }
    return { name: METRICS_PREFIX + name, help, labelNames: [...labels], registers: [registry] }
  }
  return {
    counter: (given) => {
      const counter = new Counter(common(given, '_total'))
      return { add: (amount, ...[labels]) => counter.inc(labels ?? {}, amount) }
    },
    gauge: (given) => {
      const gauge: Gauge<string> = new Gauge({
        ...common(given),
        ...(given.read === undefined ? {} : { collect: () => collectInto(gauge, given.read) }),
      })
      return { set: (value, ...[labels]) => gauge.set(labels ?? {}, value) }
    },
    seconds: (given) => {
      const histogram = new Histogram({ ...common(given, '_seconds'), buckets: SECONDS_BUCKETS })
      return {
        observe: (seconds, ...[labels]) => histogram.observe(labels ?? {}, seconds),
        start: () => {
          const started = performance.now()
          return (...[labels]) => {
            const seconds = (performance.now() - started) / 1000
            histogram.observe(labels ?? {}, seconds)
            return seconds
          }
        },
      }
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

async function collectInto(gauge: Gauge<string>, read: (() => number | Promise<number>) | undefined) {
  if (read === undefined) return
  try {
    gauge.set(await read())
  } catch {
    // A database that is away must not hide the other metrics, which say why.
    gauge.remove()
  }
}
