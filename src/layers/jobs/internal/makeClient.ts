import { type Context, Effect } from "effect"
import type { JobEvent } from "../JobEvent.js"
import { JobSourceError, type Service as JobSourceService } from "../JobSource.js"
import type { Codec } from "./codec.js"
import type { Failures } from "./failures.js"
import { makeOperations } from "./operations.js"
import { pauseOperations } from "./pausing.js"
import { makePoolEvents } from "./poolEvents.js"
import type { Service, Status } from "./poolService.js"
import { makeResults } from "./results.js"

const status = (paused: boolean): Status => ({
  condition: "Client",
  concurrency: 0,
  paused: paused ? ["Queue"] : [],
  inFlight: 0,
  finished: 0,
  handedBack: 0,
  cut: 0
})

/** Opens the queue until the scope closes, and returns the operations of a pool that has no workers. */
export const makeClient = <Job, Success, Failure>(
  name: string,
  source: JobSourceService,
  options: {
    readonly payload: Codec<Job>
    readonly success: Codec<Success> | undefined
    readonly failures: Failures<Failure>
    /** Runs in `services`. */
    readonly onEvent: ((event: JobEvent) => Effect.Effect<unknown, unknown>) | undefined
    readonly services: Context.Context<never>
  }
) =>
  Effect.gen(function*() {
    const { failures, onEvent, payload, services, success } = options
    if (!source.durable) {
      const cause = new Error(
        "`layerClient` needs a durable source: no other process could run these jobs. Provide `layer` in this process instead."
      )
      return yield* new JobSourceError({ operation: "open", queue: name, cause })
    }
    const queue = yield* source.open({ name })
    const events = makePoolEvents({ name, durable: true, onEvent, services })
    const released = yield* Effect.makeLatch(false)
    yield* Effect.addFinalizer(() => released.open)
    const operations = makeOperations({ name, queue, events, accepts: () => true }, payload, failures)
    const { offerAll } = operations
    return {
      ...operations,
      ...makeResults({ name, queue, offerAll, closed: released.await }, { success, failures }),
      ...pauseOperations(queue, () => Effect.void),
      status: Effect.map(queue.paused.get, status),
      running: Effect.succeed([])
    } satisfies Service<Job, Success, Failure>
  })
