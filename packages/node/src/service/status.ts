/**
 * What operators look at of a service that serves nobody else: health, readiness, metrics, on a port of its own.
 *
 * Threat: whoever reaches the port may read it, so that it listens on this machine alone unless told otherwise.
 */
import { createApi, type HttpServer, listen } from './http.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'

/** Bodies are of no use here. */
const MAX_BODY_BYTES = 1024

export interface StatusOptions {
  readonly metrics: Metrics
  readonly log: Log
  readonly host: string
  /** 0 for any that is free. */
  readonly port: number
  readonly isReady: () => boolean
}

/** `GET /healthz`, `/readyz` (503 where it is not) and `/metrics`. @throws AssayError `http/listen`. */
export async function startStatusServer(options: StatusOptions): Promise<HttpServer> {
  const { metrics, log, host, port, isReady } = options
  const api = createApi({ log, maxBodyBytes: MAX_BODY_BYTES })
  const json = { 'content-type': 'application/json' }
  api.app.get('/healthz', (c) => c.body('{"status":"ok"}', 200, json))
  api.app.get('/readyz', (c) => {
    const ready = isReady()
    return c.body(JSON.stringify({ status: ready ? 'ready' : 'stopping' }), ready ? 200 : 503, json)
  })
  api.app.get('/metrics', async (c) =>
    c.body(await metrics.render(), 200, { 'content-type': metrics.contentType }),
  )
  return listen(api, { log, host, port })
}
