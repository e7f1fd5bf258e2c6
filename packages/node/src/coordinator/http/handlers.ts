/** The handler of each operation, by area. A table that lacks one does not compile. */
import type { CoordinatorDeps } from './deps.ts'
import type { Handlers } from './handler.ts'
import { accountHandlers } from './handlers-accounts.ts'
import { blobHandlers } from './handlers-blobs.ts'
import { dispatchHandlers } from './handlers-dispatch.ts'
import { jobHandlers } from './handlers-jobs.ts'
import { logHandlers } from './handlers-log.ts'
import { nodeHandlers } from './handlers-nodes.ts'

export function createHandlers(deps: CoordinatorDeps): Handlers {
  return {
    ...accountHandlers(deps),
    ...blobHandlers(deps),
    ...dispatchHandlers(deps),
    ...jobHandlers(deps),
    ...logHandlers(deps),
    ...nodeHandlers(deps),
  }
}
