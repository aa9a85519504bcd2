/**
 * Jobs in the memory of this process: the engine for work that need not outlive it, and the one that tests are made of.
 *
 * @since 0.1.0
 */
import { Clock, Deferred, Duration, Effect, Exit, FiberId, Layer, Option } from "effect"
import { makeMemoryQueue } from "./internal/memoryQueue.js"
import { type Claim, type JobQueue, JobSource, LeaseLost, QueueFull, type Service } from "./JobSource.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How many jobs each queue holds, delayed ones included and those that run not: 1,000 by default, so that a burst is
   * taken and an outage is told to those who offer, instead of ending in a process without memory. Jobs that come back
   * (retries, hand-backs) always have room. As many dead letters are kept; beyond it the oldest are dropped.
   */
  readonly capacity?: number | undefined
  /**
   * How long a lease lasts without being renewed. Without end by default, for who holds it cannot die without the
   * queue; 15 seconds when `durable`.
   */
  readonly lease?: Duration.DurationInput | undefined
  /**
   * Pretends to outlive the process: pools then hand back what they could not finish, as over a database. For tests,
   * where one source made with `make` is given to one pool after the other. `false` by default.
   */
  readonly durable?: boolean | undefined
}

/**
 * A source in memory, as a value: everything that was offered lives as long as it does.
 *
 * Its transactions are fenced, but nothing rolls the writes of a failed one back: memory has no transactions. While the
 * writes run, the lease does not expire.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Service> =>
  Effect.sync(() => {
    const { capacity = 1_000, durable = false } = options
    const lease = Duration.decode(options.lease ?? (durable ? Duration.seconds(15) : Duration.infinity))
    const queues = new Map<string, JobQueue>()
    return {
      durable,
      renewEvery: Duration.millis(Math.floor(Duration.toMillis(lease) / 3)),
      open: ({ lease: own, name }) =>
        Effect.sync(() => {
          const queue = queues.get(name) ?? makeQueue(name, capacity, Duration.toMillis(own ?? lease))
          queues.set(name, queue)
          return queue
        })
    }
  })

/**
 * The source in memory. A queue lives as long as this layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<JobSource> => Layer.effect(JobSource, make(options))

const makeQueue = (name: string, capacity: number, lease: number): JobQueue => {
  const queue = makeMemoryQueue({ capacity, lease })
  const now = Clock.currentTimeMillis
  const lost = (claim: Claim) => new LeaseLost({ queue: name, id: claim.id })
  /** One step that needs the lease. */
  const fenced = <A>(claim: Claim, f: (now: number) => A): Effect.Effect<A, LeaseLost> =>
    Effect.flatMap(now, (now) => queue.holds(now, claim) ? Effect.succeed(f(now)) : lost(claim))

  return {
    offer: (payloads, { delay = Duration.zero, ids } = {}) =>
      Effect.flatMap(now, (now) => {
        const added = ids === undefined ? payloads.length : new Set(ids.filter((id) => !queue.has(id))).size
        return added > 0 && queue.waiting() + added > capacity
          ? new QueueFull({ queue: name, capacity })
          : Effect.succeed(queue.add(now, payloads, { delay: Duration.toMillis(delay), ids }))
      }),
    wait: Effect.interruptible(Effect.acquireUseRelease(
      // Looks and listens in one step, so that nothing happens between the two.
      Effect.map(now, (now) => {
        const changed = Deferred.unsafeMake<void>(FiberId.none)
        const forget = queue.onChange(() => Deferred.unsafeDone(changed, Exit.void))
        return { changed: Deferred.await(changed), due: queue.due(now), forget: Effect.sync(forget) }
      }),
      ({ changed, due }) =>
        due <= 0 ? Effect.void : due === Number.POSITIVE_INFINITY
          ? changed
          // Whole milliseconds: a wait of less than the clock can tell would complete in vain, again and again.
          : Effect.raceFirst(changed, Effect.sleep(Duration.millis(Math.ceil(due)))),
      ({ forget }) => forget
    )),
    claim: (limit) => Effect.map(now, (now) => queue.claim(now, limit)),
    transact: (claim, writes, settlement) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          yield* fenced(claim, () => queue.lease(claim, Number.POSITIVE_INFINITY))
          const value = yield* Effect.ensuring(
            restore(writes),
            Effect.map(now, (now) => queue.lease(claim, now + lease))
          )
          yield* fenced(claim, (now) => {
            if (settlement._tag === "Ack") return queue.settle(claim)
            queue.advance(claim, settlement.cursor)
            if (settlement.handBack) queue.putBack(now, claim, { spent: false, delay: 0 })
          })
          return value
        })
      ),
    retry: (claim, { delay }) =>
      fenced(claim, (now) => queue.putBack(now, claim, { spent: true, delay: Duration.toMillis(delay) })),
    deadLetter: (claim, error) => fenced(claim, (now) => queue.bury(now, claim, error)),
    handBack: (claims) =>
      Effect.map(now, (now) => {
        const lost = claims.filter((claim) => !queue.holds(now, claim))
        for (const claim of claims) queue.putBack(now, claim, { spent: false, delay: 0 })
        return lost
      }),
    renew: (claims) =>
      Effect.map(now, (now) => {
        const lost = claims.filter((claim) => !queue.holds(now, claim))
        for (const claim of claims) queue.renew(claim, now + lease)
        return lost
      }),
    size: Effect.sync(() => queue.waiting()),
    find: (id) => Effect.map(now, (now) => queue.find(now, id)),
    deadLetters: {
      list: (limit, after) => Effect.sync(() => queue.buried(after).slice(0, limit)),
      get: (id) => Effect.sync(() => Option.fromNullable(queue.buried().find((letter) => letter.id === id))),
      redrive: (ids, options) =>
        Effect.map(
          now,
          (now) => ids.filter((id) => queue.exhume(now, id, { fromStart: options?.fromStart === true })).length
        ),
      discard: (ids) => Effect.sync(() => ids.filter(queue.forget).length)
    }
  }
}
