import { DateTime, type Duration, Effect, Fiber } from "effect"
import * as Drain from "../../../core/Drain.js"
import { defaultDaemonTimeout, makeDaemons } from "../../../core/internal/daemons.js"
import { makeInFlight } from "../../../core/internal/inFlight.js"
import { durationOption } from "../../../core/internal/options.js"
import { Shutdown } from "../../../core/Shutdown.js"
import type { JobContext } from "../JobContext.js"
import { JobEvent } from "../JobEvent.js"
import {
  type DeadLetters,
  JobSourceError,
  type OfferAllOptions,
  type OfferOptions,
  type QueueFull,
  type Service as JobSourceService
} from "../JobSource.js"
import { abandonJobs, awaitHandBack, interruptJobs } from "./handBack.js"
import { renewalInterval } from "./lease.js"
import { dispatch, dispatchUntilEmpty, heartbeat, supervise } from "./loops.js"
import { makePoolEvents } from "./poolEvents.js"
import { condition, type JobRun, type Loop, makeLifecycle, type Pool, progress, publicCondition } from "./poolState.js"
import { abortSignals, type Codec, type JobProcess, runJob } from "./runJob.js"

/** The settings of a pool, see `WorkerPool.Options`. */
export interface Settings extends Drain.Timeouts, Pick<Pool, "concurrency" | "retry" | "isPermanent"> {
  readonly lease: Duration.DurationInput | undefined
  readonly daemonTimeout?: Duration.DurationInput | undefined
  readonly quiesceOn: Drain.Steps<unknown>["quiesceOn"]
  readonly onEvent: ((event: JobEvent) => Effect.Effect<void>) | undefined
}

/** Opens the queue and starts the loops of the pool, which the current scope drains. Returns the pool's operations. */
export const makePool = <Job, Cursor>(
  name: string,
  source: JobSourceService,
  settings: Settings,
  job: JobProcess<Job, Cursor>
) =>
  Effect.gen(function*() {
    const { concurrency, drainTimeout, isPermanent, lease, onEvent, quiesceOn, releaseTimeout, retry } = settings
    const { daemonTimeout = defaultDaemonTimeout } = settings
    const { durable } = source
    const shutdown = yield* Shutdown
    const pool: Pool = {
      name,
      queue: yield* source.open({ name, lease }),
      orphanTurn: source.orphanTurn,
      durable,
      concurrency,
      retry,
      isPermanent,
      lifecycle: yield* makeLifecycle,
      events: makePoolEvents({ name, durable, onEvent }),
      inFlight: yield* makeInFlight<JobRun>(),
      waitingForSource: new Map(),
      crash: undefined
    }
    // Released after the jobs.
    const daemons = yield* makeDaemons({
      name,
      daemonTimeout: durationOption(name, "daemonTimeout", daemonTimeout),
      releaseTimeout
    })
    const owned = {
      ...job,
      process: (value: Job, context: JobContext<Cursor>) => daemons.own(job.process(value, context))
    }
    const run = (jobRun: JobRun) => runJob(pool, owned, jobRun)

    // Interruptible, because `acquire` is not, and a fiber inherits the region that forks it.
    const start = (loop: Loop, effect: Effect.Effect<never>) =>
      Effect.forkDaemon(Effect.interruptible(supervise(pool, loop, shutdown)(effect)))

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
        dispatcher: start("dispatcher", dispatch(pool, run)),
        heartbeat: start("heartbeat", heartbeat(pool, renewalInterval(source.renewEvery, lease)))
      }),
      quiesce: ({ dispatcher }) =>
        pool.lifecycle.advance({ _tag: "Quiesced" }).pipe(
          Effect.zipRight(abortSignals(pool)),
          Effect.zipRight(pool.events.record(JobEvent.Quiesced({ pool: name }))),
          // Also when `onEvent` exceeds the bound of this step.
          Effect.ensuring(Fiber.interrupt(dispatcher))
        ),
      drain: () => durable ? pool.inFlight.awaitEmpty : dispatchUntilEmpty(pool, run),
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
    return makeOperations(pool, job.payload)
  })

/** `WorkerPool.Service`. */
const makeOperations = <Job>(pool: Pool, codec: Codec<Job>) => {
  const { durable, events, inFlight, lifecycle, name, queue } = pool
  const { deadLetters } = queue
  /** Runs an operation and records its event, even if the caller is interrupted in between. */
  const recorded = <A, E>(
    tag: "Offered" | "Redriven" | "Discarded",
    operation: Effect.Effect<A, E>,
    fields: (result: A) => { readonly ids: ReadonlyArray<string>; readonly count: number }
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.tap(restore(operation), (result) => {
        const batch = fields(result)
        return batch.count === 0 ? Effect.void : events.record(JobEvent[tag]({ pool: name, ...batch }))
      })
    )
  const checked = (options: OfferAllOptions = {}): OfferAllOptions => {
    const { delay, keepIdFor } = options
    // A negative number is the delay of a job that is due already.
    const input = typeof delay === "number" ? Math.max(0, delay) : delay
    return {
      ...options,
      delay: input === undefined ? undefined : durationOption(name, "delay", input),
      keepIdFor: keepIdFor === undefined ? undefined : durationOption(name, "keepIdFor", keepIdFor)
    }
  }
  const offerAll = (jobs: ReadonlyArray<Job>, options?: OfferAllOptions) =>
    Effect.flatMap(
      Effect.mapError(
        Effect.forEach(jobs, codec.encode),
        (cause) => new JobSourceError({ operation: "offer", queue: name, cause })
      ),
      (payloads): Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull> =>
        lifecycle.hasReached("Closed") && !durable
          ? new JobSourceError({ operation: "offer", queue: name, cause: new Error("the pool has ended") })
          : recorded(
            "Offered",
            Effect.suspend(() => queue.offer(payloads, checked(options))),
            (ids) => ({ ids, count: ids.length })
          )
    )
  return {
    offer: (job: Job, { id, ...options }: OfferOptions = {}) =>
      Effect.map(offerAll([job], id === undefined ? options : { ...options, ids: [id] }), ([id]) => id!),
    offerAll,
    status: Effect.sync(() => ({ condition: condition(pool), concurrency: pool.concurrency, ...progress(pool) })),
    running: Effect.sync(() =>
      inFlight.units().map(({ data: { claim, cursor, startedAt } }) => ({
        id: claim.id,
        attempt: claim.attempt,
        startedAt: DateTime.unsafeMake(startedAt),
        cursor
      }))
    ),
    find: queue.find,
    deadLetters: {
      ...deadLetters,
      redrive: (ids: ReadonlyArray<string>, options?: { readonly fromStart?: boolean | undefined }) =>
        recorded("Redriven", deadLetters.redrive(ids, options), (count) => ({ ids, count })),
      discard: (ids: ReadonlyArray<string>) =>
        recorded("Discarded", deadLetters.discard(ids), (count) => ({ ids, count }))
    } satisfies DeadLetters
  }
}
