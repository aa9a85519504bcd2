/**
 * Jobs in the memory of this process: for work that may end with the process, and for tests.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { JobSourceMemory, WorkerPool } from "lastcall"
 *
 * class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}
 *
 * const MailerLive = Mailer.layer({ concurrency: 8, process: ({ to }) => Effect.log(`mail to ${to}`) }).pipe(
 *   Layer.provide(JobSourceMemory.layerConfig({ capacity: Config.withDefault(Config.integer("QUEUE_CAPACITY"), 500) }))
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import {
  Clock,
  Config,
  type ConfigError,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  FiberId,
  Layer,
  Option,
  SubscriptionRef
} from "effect"
import { monotonicMillis } from "../../core/internal/monotonic.js"
import { countOption, durationOption } from "../../core/internal/options.js"
import { settleAfterWrites, transactAllAfterWrites } from "./internal/afterWrites.js"
import { makeCancellations } from "./internal/cancellations.js"
import { keysFault } from "./internal/jobKeys.js"
import { lookAtDependencies, type MemoryStore } from "./internal/memoryDependents.js"
import { memoryListing } from "./internal/memoryListing.js"
import { makeMemoryQueue } from "./internal/memoryQueue.js"
import { makeOrphanTurn } from "./internal/orphanTurn.js"
import { idsFault, keepIdForMillis, uniqueForMillis } from "./internal/storable.js"
import {
  type Claim,
  type JobEnd,
  type JobQueue,
  JobSource,
  JobSourceError,
  LeaseLost,
  QueueFull,
  type Service
} from "./JobSource.js"

/**
 * The settings of the source in memory.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The number of jobs that each queue has room for, including delayed jobs and excluding running ones. 1,000 by default:
   * a burst is accepted, and a long outage fails offers with `QueueFull` before the process runs out of memory. A job
   * that returns to the queue (a retry, a hand-back) always has room. Each queue keeps as many dead letters, and
   * drops the oldest beyond that.
   */
  readonly capacity?: number | undefined
  /**
   * How long a lease lasts unless it is renewed. Infinite by default: the holder and the queue share a process. 15 seconds
   * by default when `durable`.
   */
  readonly lease?: Duration.DurationInput | undefined
  /**
   * Makes pools treat the source as durable: they hand back what they cannot finish, as over a database. For tests in which
   * one source, made with `make`, is given to one pool after another. `false` by default.
   */
  readonly durable?: boolean | undefined
}

/**
 * The defaults of `Options`. A durable source has a lease of 15 seconds instead.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  capacity: 1_000,
  lease: Duration.infinity,
  durable: false
}

const durableLease = Duration.seconds(15)

/**
 * Makes a source in memory. Its queues live as long as the returned service.
 *
 * **Promised:** transactions are fenced: `LeaseLost` when the lease is gone before the writes or after them. The lease does
 * not expire while the writes run; with `durable`, where the holder may be a process that died in a test, it begins anew when
 * they do. **Not promised:** atomicity. The writes of a failed transaction are not rolled back.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service> =>
  Effect.sync(() => {
    const { durable = defaults.durable } = options
    const capacity = countOption("JobSourceMemory", "capacity", options.capacity ?? defaults.capacity, {
      least: 1,
      unlimited: true
    })
    const leaseOf = (input: Duration.DurationInput) =>
      durationOption("JobSourceMemory", "lease", input, { positive: true, unlimited: true })
    const lease = leaseOf(options.lease ?? (durable ? durableLease : defaults.lease))
    const queues = new Map<string, JobQueue>()
    const store: MemoryStore = { queues: new Map(), waiters: new Map() }
    return {
      durable,
      priorities: true,
      keys: true,
      dependencies: true,
      orphanTurn: makeOrphanTurn(),
      renewEvery: Duration.millis(Math.floor(Duration.toMillis(lease) / 3)),
      open: ({ lease: queueLease, name }) =>
        Effect.gen(function*() {
          const paused = yield* SubscriptionRef.make(false)
          const queue = queues.get(name) ?? makeQueue(name, paused, store, {
            capacity,
            durable,
            lease: Duration.toMillis(leaseOf(queueLease ?? lease))
          })
          queues.set(name, queue)
          return queue
        })
    }
  })

/**
 * A source in memory. Its queues live as long as this layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<JobSource> => Layer.effect(JobSource, make(options))

/**
 * `layer` with options from the configuration. Fails with a `ConfigError` when one of them is missing or invalid.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<JobSource, ConfigError.ConfigError> => Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))

const makeQueue = (
  name: string,
  paused: SubscriptionRef.SubscriptionRef<boolean>,
  store: MemoryStore,
  { durable, ...options }: { readonly capacity: number; readonly durable: boolean; readonly lease: number }
): JobQueue => {
  const { capacity, lease } = options
  const queue = makeMemoryQueue({ ...options, name, waiters: store.waiters })
  store.queues.set(name, queue)
  const now = monotonicMillis
  const cancellations = makeCancellations()
  const leaseLost = (claim: Claim) => new LeaseLost({ queue: name, id: claim.id })
  const fenced = <A>(claim: Claim, f: (now: number) => A): Effect.Effect<A, LeaseLost> =>
    Effect.flatMap(now, (now) => queue.isHeld(now, claim) ? Effect.succeed(f(now)) : leaseLost(claim))
  /** Changes the claims that are held, and returns those that are not. */
  const forEachHeld = (claims: ReadonlyArray<Claim>, f: (claim: Claim, now: number) => void) =>
    Effect.map(now, (now) => {
      const lost = claims.filter((claim) => !queue.isHeld(now, claim))
      for (const claim of claims) f(claim, now)
      return lost
    })

  const acknowledge: JobQueue["acknowledge"] = (claims) => forEachHeld(claims, (claim, now) => queue.remove(now, claim))
  const leaseDuringWrites = durable ? lease : Number.POSITIVE_INFINITY
  const holdAll = transactAllAfterWrites(name, {
    acknowledge,
    hold: (claims) => forEachHeld(claims, (claim, now) => queue.setLease(claim, now + leaseDuringWrites))
  })

  return {
    offer: (payloads, options = {}) =>
      Effect.flatMap(now, (now): Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull> => {
        const { delay = Duration.zero, ids, keys } = options
        const { fault, unfinished } = lookAtDependencies(store, now, name, payloads.length, options)
        const cause = idsFault(payloads.length, options) ?? keysFault(payloads.length, options) ?? fault
        if (cause !== undefined) return new JobSourceError({ operation: "offer", queue: name, cause })
        const added = ids === undefined ? payloads.length : new Set(ids.filter((id) => !queue.has(now, id))).size
        return added > 0 && queue.size() + added > capacity
          ? new QueueFull({ queue: name, capacity })
          : Effect.succeed(queue.add(now, payloads, {
            delay: Duration.toMillis(delay),
            ids,
            keys,
            dependsOn: unfinished,
            keepIdFor: keepIdForMillis(options),
            uniqueFor: uniqueForMillis(options),
            priority: options.priority
          }))
      }),
    wait: Effect.interruptible(Effect.acquireUseRelease(
      // One step, so that no change is missed between looking at the queue and listening.
      Effect.map(now, (now) => {
        const changed = Deferred.unsafeMake<void>(FiberId.none)
        const stopListening = queue.onChange(() => Deferred.unsafeDone(changed, Exit.void))
        return { changed: Deferred.await(changed), dueIn: queue.dueIn(now), stopListening: Effect.sync(stopListening) }
      }),
      ({ changed, dueIn }) =>
        dueIn <= 0 ? Effect.void : dueIn === Number.POSITIVE_INFINITY
          ? changed
          // Rounded up: a sleep shorter than the clock's resolution would end before the job is due.
          : Effect.raceFirst(changed, Effect.sleep(Duration.millis(Math.ceil(dueIn)))),
      ({ stopListening }) => stopListening
    )),
    claim: (limit, { orphan = true } = {}) => Effect.map(now, (now) => queue.claim(now, limit, orphan)),
    transact: (claim, writes, settlement) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          yield* fenced(claim, (now) => queue.setLease(claim, now + leaseDuringWrites))
          const value = yield* Effect.ensuring(
            restore(writes),
            Effect.map(now, (now) => queue.setLease(claim, now + lease))
          )
          yield* settleAfterWrites(fenced(claim, (now) => {
            if (settlement._tag === "Ack") {
              return queue.remove(now, claim, Option.map(Option.fromNullable(settlement.value), (value) => value()))
            }
            if (settlement._tag === "Snooze") {
              if (Option.isSome(settlement.cursor)) queue.setCursor(claim, settlement.cursor.value)
              return queue.putBack(now, claim, { attemptSpent: false, delay: Duration.toMillis(settlement.delay) })
            }
            queue.setCursor(claim, settlement.cursor)
            if (settlement.handBack) queue.putBack(now, claim, { attemptSpent: false, delay: 0 })
          }))
          return value
        })
      ),
    acknowledge,
    transactAll: (claims, writes) =>
      holdAll(claims, (held) =>
        Effect.ensuring(
          writes(held),
          forEachHeld(held, (claim, now) => queue.setLease(claim, now + lease))
        )),
    retry: (claim, { delay, error }) =>
      fenced(
        claim,
        (now) => queue.putBack(now, claim, { attemptSpent: true, delay: Duration.toMillis(delay), error })
      ),
    deadLetter: (claim, error, failure = Option.none()) =>
      Effect.flatMap(Clock.currentTimeMillis, (wall) => {
        const letter = { error, failure, failedAt: DateTime.unsafeMake(wall) }
        return fenced(claim, (now) => queue.deadLetter(now, claim, letter))
      }),
    handBack: (claims) =>
      forEachHeld(claims, (claim, now) => queue.putBack(now, claim, { attemptSpent: false, delay: 0 })),
    renew: (claims) => forEachHeld(claims, (claim, now) => queue.renew(claim, now + lease)),
    cancel: (ids) =>
      Effect.uninterruptible(Effect.flatMap(Effect.all([now, DateTime.now]), ([now, at]) => {
        const { count, tokens } = queue.cancel(now, ids, at)
        return Effect.as(
          Effect.forEach(tokens, (token) => cancellations.announce(name, token), { discard: true }),
          count
        )
      })),
    onCancel: cancellations.open(name),
    size: Effect.sync(() => queue.size()),
    paused,
    setPaused: (isPaused) =>
      Effect.zipRight(Effect.sync(() => queue.setPaused(isPaused)), SubscriptionRef.set(paused, isPaused)),
    ...memoryListing(name, queue),
    // One step, so that no end is missed between looking at the queue and listening.
    awaitEnd: (id) =>
      Effect.flatMap(now, (now) =>
        Effect.async<JobEnd>((resume) => {
          const end = queue.endOf(now, id)
          if (end !== undefined) return resume(Effect.succeed(end))
          return Effect.sync(queue.onEnd(id, (end) => resume(Effect.succeed(end))))
        })),
    deadLetters: {
      list: (limit, after) => Effect.sync(() => queue.deadLetters(after).slice(0, limit)),
      get: (id) => Effect.sync(() => Option.fromNullable(queue.deadLetters().find((letter) => letter.id === id))),
      redrive: (ids, options) =>
        Effect.map(
          now,
          (now) => ids.filter((id) => queue.redrive(now, id, { fromStart: options?.fromStart === true })).length
        ),
      discard: (ids) =>
        Effect.map(
          Effect.all([now, DateTime.now]),
          ([now, at]) => ids.filter((id) => queue.discard(now, id, at)).length
        )
    }
  }
}
