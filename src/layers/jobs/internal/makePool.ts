import { Deferred, Duration, Effect, Fiber, type Scope } from "effect"
import * as Drain from "../../../core/Drain.js"
import { bounded } from "../../../core/internal/bounded.js"
import { makeInFlight } from "../../../core/internal/inFlight.js"
import { Shutdown } from "../../../core/Shutdown.js"
import { JobEvent } from "../JobEvent.js"
import type { JobSourceError, Service as JobSourceService } from "../JobSource.js"
import { tell } from "./context.js"
import { dispatch, dispatchAll, heartbeat } from "./dispatch.js"
import { type Job, makeMetrics, type PoolState, progress, record, together, trouble } from "./poolState.js"
import { runJob, type Work } from "./runJob.js"
import { abandon, handBack } from "./settle.js"
import { supervised } from "./supervised.js"

/** What a pool is told to be, as `WorkerPool.Options` says. */
export interface Settings extends Drain.Timeouts, Pick<PoolState, "concurrency" | "retry" | "isPermanent" | "observe"> {
  readonly lease: Duration.DurationInput | undefined
  readonly quiesceOn: Drain.Steps<unknown>["quiesceOn"]
}

const leastOf = (renewEvery: Duration.Duration, lease: Duration.DurationInput | undefined): Duration.Duration =>
  lease === undefined
    ? renewEvery
    : Duration.clamp(Duration.times(lease, 0.3), { minimum: Duration.millis(1), maximum: renewEvery })

/** Opens the queue, and starts a dispatcher and a heartbeat whose end is the drain of the current scope. */
export const makePool = <Payload, Cursor>(
  name: string,
  source: JobSourceService,
  { concurrency, drainTimeout, isPermanent, lease, observe, quiesceOn, releaseTimeout, retry }: Settings,
  work: Work<Payload, Cursor>
): Effect.Effect<PoolState, JobSourceError, Scope.Scope> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const pool: PoolState = {
      name,
      queue: yield* source.open({ name, lease }),
      durable: source.durable,
      concurrency,
      retry,
      isPermanent,
      observe,
      inFlight: yield* makeInFlight<Job>(),
      draining: yield* Effect.makeLatch(false),
      hurry: yield* Effect.makeLatch(false),
      metrics: makeMetrics(name),
      counts: { finished: 0, handedBack: 0, cut: 0 },
      away: new Map(),
      crashed: undefined,
      quiesced: false,
      interrupting: false,
      returning: undefined,
      closed: false
    }
    const run = (job: Job) => runJob(pool, work, job)
    const returned = yield* Deferred.make<void>()

    /** Interruptible, for this is forked by an acquisition: a fiber inherits the region it is forked in. */
    const start = (what: string, loop: Effect.Effect<never>) =>
      Effect.forkDaemon(Effect.interruptible(supervised(pool, what, shutdown)(loop)))

    const interrupt = Effect.suspend(() => {
      pool.interrupting = true
      pool.returning = []
      return Effect.zipRight(pool.hurry.open, pool.inFlight.interrupt)
    }).pipe(
      // Given up when the time is over: a bounded wait alone is waited for.
      Effect.zipRight(Effect.disconnect(bounded({ within: together })(pool.inFlight.awaitEmpty))),
      // Also when there is no time to wait: what has ended is handed back, and a later one hands itself back.
      Effect.ensuring(Effect.suspend(() => {
        const claims = pool.returning ?? []
        pool.returning = undefined
        return Effect.ensuring(handBack(pool, claims), Deferred.succeed(returned, void 0))
      })),
      Effect.zipRight(pool.inFlight.awaitEmpty)
    )

    /** What is left in memory goes with the process. */
    const close = Effect.suspend(() => {
      pool.closed = true
      return pool.durable ? Effect.void : Effect.map(Effect.orDie(pool.queue.size), (left) => {
        pool.counts.cut += left
      })
    }).pipe(Effect.zipRight(record(pool, JobEvent.Closed({ pool: name }))))

    yield* Drain.acquire({
      name,
      drainTimeout,
      releaseTimeout,
      quiesceOn: pool.durable ? quiesceOn ?? "LameDuck" : "Release",
      acquire: Effect.all({
        dispatcher: start("dispatcher", dispatch(pool, run)),
        heartbeat: start("heartbeat", heartbeat(pool, leastOf(source.renewEvery, lease)))
      }),
      quiesce: ({ dispatcher }) =>
        Effect.suspend(() => {
          pool.quiesced = true
          return tell(pool).pipe(
            Effect.zipRight(record(pool, JobEvent.Quiesced({ pool: name }))),
            Effect.zipRight(Fiber.interrupt(dispatcher))
          )
        }),
      drain: () => pool.durable ? pool.inFlight.awaitEmpty : dispatchAll(pool, run),
      interrupt: () => interrupt,
      release: ({ heartbeat }) =>
        (pool.interrupting ? Deferred.await(returned) : Effect.void).pipe(
          // Also when there is no time to wait for them.
          Effect.ensuring(abandon(pool)),
          Effect.ensuring(close),
          Effect.ensuring(Fiber.interrupt(heartbeat))
        ),
      progress: () => progress(pool),
      condition: () => trouble(pool)
    })
    return pool
  })
