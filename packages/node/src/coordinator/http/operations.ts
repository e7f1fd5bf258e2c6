/** What operators and their tools look at: the document, health, readiness, metrics. */
import type { Api } from '../../service/http.ts'
import type { CoordinatorDeps } from './deps.ts'

/** Answers are the same for all who ask within it: a public route must not ask the database each time. */
const READY_CACHE_MS = 1_000

export function addOperations(
  { app, draining }: Api,
  { openApi, metrics, readiness, now }: Pick<CoordinatorDeps, 'openApi' | 'metrics' | 'readiness' | 'now'>,
): void {
  const document = JSON.stringify(openApi)
  const json = { 'content-type': 'application/json', 'cache-control': 'no-store' }
  let last: { readonly at: number; readonly faults: ReturnType<typeof readiness> } | undefined

  app.get('/v1/openapi.json', (c) =>
    c.body(document, 200, { ...json, 'cache-control': 'public, max-age=60' }),
  )
  /** Whether the process turns over: what else is wrong, a restart does not heal. */
  app.get('/healthz', (c) => c.body('{"status":"ok"}', 200, json))
  /** Whether it should get requests. */
  app.get('/readyz', async (c) => {
    if (draining.aborted) return c.body('{"status":"stopping"}', 503, json)
    if (last === undefined || Math.abs(now() - last.at) > READY_CACHE_MS) {
      last = { at: now(), faults: readiness() }
    }
    const faults = await last.faults
    const isReady = Object.keys(faults).length === 0
    const body = JSON.stringify({ status: isReady ? 'ok' : 'unavailable', faults })
    return c.body(body, isReady ? 200 : 503, json)
  })
  app.get('/metrics', async (c) =>
    c.body(await metrics.render(), 200, { 'content-type': metrics.contentType }),
  )
}
