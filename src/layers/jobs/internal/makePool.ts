import { DateTime, Duration, Effect, Fiber, Option, Stream } from "effect"
import * as Drain from "../../../core/Drain.js"
import { drainBound } from "../../../core/internal/budget.js"
import { defaultDaemonTimeout, makeDaemons } from "../../../core/internal/daemons.js"
import { makeInFlight } from "../../../core/internal/inFlight.js"
import { durationOption } from "../../../core/internal/options.js"
import { Shutdown } from "../../../core/Shutdown.js"
import { JobEvent } from "../JobEvent.js"
import type { Service as JobSourceService } from "../JobSource.js"
import { makeClaimedAhead } from "./claimedAhead.js"
import type { Codec } from "./codec.js"
import { type Failures, noFailures } from "./failures.js"
import { abandonJobs, awaitHandBack, interruptJobs } from "./handBack.js"
import { renewalInterval } from "./lease.js"
import { dispatch, dispatchUntilEmpty, heartbeat, supervise } from "./loops.js"
import { makeOperations } from "./operations.js"
import { makePausing, pauseOperations } from "./pausing.js"
import { makePoolEvents } from "./poolEvents.js"
import type { Service } from "./poolService.js"
import { condition, type JobRun, type Loop, makeLifecycle, type Pool, progress, publicCondition } from "./poolState.js"
import { type RateLimit, unlimited } from "./rateLimit.js"
import { makeResults } from "./results.js"
import { abortSignals, cancelRun } from "./runJob.js"
import type { PoolJobs } from "./workers.js"

/** The settings of a pool, see `WorkerPool.Options`. */
export interface Settings extends Drain.Timeouts, Pick<Pool, "concurrency" | "retry" | "isPermanent"> {
  readonly lease: Duration.DurationInput | undefined
  readonly rateLimit?: RateLimit | undefined
  readonly daemonTimeout?: Duration.DurationInput | undefined
  readonly quiesceOn: Drain.Steps<unknown>["quiesceOn"]
  /** Runs in the services of the job. */
  readonly onEvent: ((event: JobEvent) => Effect.Effect<unknown, unknown>) | undefined
}

/** Opens the queue and starts the loops of the pool, which the current scope drains. Returns the pool's operations. */
export const makePool = <Job, Success, Failure>(
  name: string,
  source: JobSourceService,
  settings: Settings,
  job: PoolJobs<Job>,
  { failures = noFailures, success }: {
    /** Undefined in a pool without results. */
    readonly success?: Codec<Success> | undefined
    readonly failures?: Failures<Failure>
  } = {}
) =>
  Effect.gen(function*() {
    const { concurrency, drainTimeout, isPermanent, lease, onEvent, quiesceOn, releaseTimeout, retry } = settings
    const { daemonTimeout = defaultDaemonTimeout, rateLimit = unlimited } = settings
    const { durable } = source
    const shutdown = yield* Shutdown
    const events = makePoolEvents({ name, durable, onEvent, services: job.services })
    const queue = yield* source.open({ name, lease, concurrency })
    const pool: Pool = {
      name,
      queue,
      orphanTurn: source.orphanTurn,
      durable,
      concurrency,
      rateLimit,
      retry,
      isPermanent,
      encodeFailure: failures.encode,
      lifecycle: yield* makeLifecycle,
      events,
      pausing: yield* makePausing(name, events.record),
      inFlight: yield* makeInFlight<JobRun>(),
      claimedAhead: makeClaimedAhead(queue.whileBlocked),
      waitingForSource: new Map(),
      crash: undefined
    }
    yield* queue.onCancel((token) => cancelRun(pool, token))
    const { paused } = queue
    yield* pool.pausing.set("Queue", yield* paused.get)
    yield* Effect.forkScoped(Effect.interruptible(
      Stream.runForEach(paused.changes, (paused) => pool.pausing.set("Queue", paused))
    ))
    // Released after the jobs.
    const daemons = yield* makeDaemons({
      name,
      daemonTimeout: durationOption(name, "daemonTimeout", daemonTimeout),
      releaseTimeout
    })
    const workers = yield* job.workers(pool, daemons.owner)

    // Interruptible, because `acquire` is not, and a fiber inherits the region that forks it.
    const start = (loop: Loop, effect: Effect.Effect<never>) =>
      Effect.forkDaemon(Effect.interruptible(supervise(pool, loop, shutdown)(effect)))

    /** A job that blocks the event loop keeps its lease no longer than the drain waits for it. */
    const limitRenewals = Effect.map(shutdown.remaining, (remaining) => {
      const timeout = Option.map(Option.fromNullable(drainTimeout), Duration.decode)
      pool.queue.whileBlocked?.limit(drainBound(shutdown.config, remaining, timeout))
    })

    const close = pool.lifecycle.advance({ _tag: "Closed" }).pipe(
      // Jobs that are left in memory end with the process.
      Effect.zipRight(
        durable ? Effect.void : Effect.map(Effect.orDie(pool.queue.size), (left) => {
          pool.events.counts.cut += left
        })
      ),
      Effect.zipRight(pool.events.record(JobEvent.Closed({ pool: name })))
    )

    yield* Drain.acquire({
      name,
      drainTimeout,
      releaseTimeout,
      quiesceOn: durable ? quiesceOn ?? "LameDuck" : "Release",
      acquire: Effect.all({
        dispatcher: start("dispatcher", dispatch(pool, workers)),
        heartbeat: start("heartbeat", heartbeat(pool, renewalInterval(source.renewEvery, lease)))
      }),
      quiesce: ({ dispatcher }) =>
        pool.lifecycle.advance({ _tag: "Quiesced" }).pipe(
          Effect.zipRight(abortSignals(pool)),
          Effect.zipRight(pool.events.record(JobEvent.Quiesced({ pool: name }))),
          // Also when `onEvent` exceeds the bound of this step.
          Effect.ensuring(Fiber.interrupt(dispatcher))
        ),
      drain: () =>
        durable
          ? Effect.zipRight(limitRenewals, pool.inFlight.awaitEmpty)
          : dispatchUntilEmpty(pool, workers),
      interrupt: () => interruptJobs(pool),
      // The finalizers run also when there is no time to wait for the hand-back.
      release: ({ heartbeat }) =>
        awaitHandBack(pool).pipe(
          Effect.ensuring(abandonJobs(pool)),
          Effect.ensuring(close),
          Effect.ensuring(Fiber.interrupt(heartbeat))
        ),
      progress: () => progress(pool),
      condition: () => publicCondition(pool)
    })
    const operations = makeOperations(
      { ...pool, accepts: () => durable || !pool.lifecycle.hasReached("Closed") },
      job.payload,
      failures
    )
    const { offerAll } = operations
    return {
      ...operations,
      ...makeResults({ ...pool, offerAll, closed: pool.lifecycle.await("Closed") }, { success, failures }),
      ...pauseOperations(pool.queue, pool.pausing.set),
      status: Effect.sync(() => ({
        condition: condition(pool),
        concurrency,
        paused: pool.pausing.scopes(),
        ...progress(pool)
      })),
      running: Effect.sync(() =>
        pool.inFlight.units().map(({ data: { claim, cursor, startedAt } }) => ({
          id: claim.id,
          attempt: claim.attempt,
          startedAt: DateTime.unsafeMake(startedAt),
          cursor
        }))
      )
    } satisfies Service<Job, Success, Failure>
  })
