import { describe, expect, it } from 'vitest'
import { createMetrics } from './metrics.ts'

describe('metrics', () => {
  it('render in the text format, with prefix, units and labels', async () => {
    const metrics = createMetrics()
    metrics.counter({ name: 'jobs_total', help: 'Jobs.', labels: ['state'] }).add(2, { state: 'accepted' })
    metrics.gauge({ name: 'queue_segments', help: 'Waiting.' }).set(7)
    const seconds = metrics.seconds({ name: 'lease_wait_seconds', help: 'Wait.' })
    seconds.observe(0.003)
    expect(seconds.start()()).toBeGreaterThanOrEqual(0)
    const text = await metrics.render()
    expect(text).toContain('assay_jobs_total{state="accepted"} 2')
    expect(text).toContain('# HELP assay_queue_segments Waiting.')
    expect(text).toContain('assay_queue_segments 7')
    expect(text).toMatch(/assay_lease_wait_seconds_bucket\{le="0.005"\} [12]/)
    expect(text).toContain('assay_lease_wait_seconds_count 2')
    expect(metrics.contentType).toMatch(/^text\/plain/)
  })

  it('ask for gauges at the scrape, and leave out those that cannot be read', async () => {
    const metrics = createMetrics()
    let reads = 0
    metrics.gauge({ name: 'reads', help: 'r', read: () => ++reads })
    let broken = false
    const read = () => (broken ? Promise.reject(new Error('database away')) : Promise.resolve(5))
    metrics.gauge({ name: 'broken_rows', help: 'b', read })
    expect(await metrics.render()).toMatch(/assay_reads 1[\s\S]*assay_broken_rows 5/)
    broken = true
    const text = await metrics.render()
    expect(text).toContain('assay_reads 2')
    expect(text).not.toMatch(/^assay_broken_rows/m)
  })

  it('refuse names without their unit', () => {
    const metrics = createMetrics()
    expect(() => metrics.counter({ name: 'jobs', help: 'h' })).toThrow(/_total/)
    expect(() => metrics.seconds({ name: 'lease_ms', help: 'h' })).toThrow(/_seconds/)
    expect(() => metrics.gauge({ name: 'Bad-Name', help: 'h' })).toThrow(/snake_case/)
  })

  it('of two registries do not meet', async () => {
    const [a, b] = [createMetrics({ process: true }), createMetrics()]
    a.counter({ name: 'x_total', help: 'h' }).add(1)
    b.counter({ name: 'x_total', help: 'h' }).add(2)
    expect(await a.render()).toMatch(/assay_x_total 1/)
    expect(await a.render()).toMatch(/assay_nodejs_eventloop_lag_seconds/)
    expect(await b.render()).toMatch(/assay_x_total 2/)
  })
})
