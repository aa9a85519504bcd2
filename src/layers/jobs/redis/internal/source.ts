import type { RedisQueueBackend } from "bullmq"
import { Clock, Duration, Effect, Queue, type Redacted } from "effect"
import { optionalPeers, rethrow } from "../../../../core/internal/optionalPeers.js"
import { queueLease } from "../../internal/lease.js"
import { type Reaped, reapLeases } from "../../internal/leaseReaper.js"
import { makeOrphanTurn } from "../../internal/orphanTurn.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSourceError, type Service } from "../../JobSource.js"
import { connect } from "./connection.js"
import { encodeId, makeIds } from "./ids.js"
import * as RedisQueue from "./queue.js"
import { mostForgotten, scriptsOf } from "./scripts.js"
import { parseUrl } from "./url.js"

/** Effectively unlimited: the pool decides when a job becomes a dead letter. */
const maxStalledCount = 2 ** 31

interface OpenQueue {
  readonly name: string
  readonly wakeUp: WakeUp.WakeUp
  readonly backend: RedisQueueBackend
}

const peers = optionalPeers("JobSourceRedis", {
  bullmq: () => import("bullmq").catch(rethrow),
  ioredis: () => import("ioredis").catch(rethrow)
})

/** See `JobSourceRedis.layer`. Connected, subscribed and reaping expired leases until the scope closes. */
export const make = (options: {
  readonly url: Redacted.Redacted
  readonly prefix: string
  readonly lease: Duration.Duration
  readonly expireEvery: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly connectTimeout: Duration.Duration
}) =>
  Effect.gen(function*() {
    const { connectTimeout, expireEvery, lease, pollInterval, prefix } = options
    const target = yield* parseUrl(options.url)
    const { bullmq: { createRedisBackend }, ioredis: { Redis } } = yield* peers
    const renewEvery = Duration.times(lease, 1 / 4)
    const queues = new Set<OpenQueue>()
    const makeId = makeIds()
    const channel = `${prefix}:lastcall:wake`

    const connection = yield* connect({ Redis, target, connectTimeout, responseTimeout: connectTimeout })
    const { redis } = connection
    const messages = yield* Queue.unbounded<string>()
    const subscriber = yield* connect({
      Redis,
      target,
      connectTimeout,
      responseTimeout: undefined,
      onReady: (redis) =>
        void redis.subscribe(channel).then(() => messages.unsafeOffer(WakeUp.everyQueue), () => undefined)
    })
    subscriber.redis.on("message", (_, name) => messages.unsafeOffer(name))
    yield* Effect.forkScoped(
      Effect.forever(Effect.flatMap(Queue.take(messages), (name) => WakeUp.notify(queues, name)))
    )

    /** Processes that miss the message find the jobs by polling. */
    const wake = (name: string) => Effect.ignore(Effect.tryPromise(() => redis.publish(channel, name)))

    /** Forgets the ids that were kept long enough, in steps. */
    const forget = (backend: RedisQueueBackend) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.repeat(
          Effect.tryPromise(() => scriptsOf(redis, (type) => backend.toKey(type)).forget(now)),
          { while: (forgotten) => forgotten === mostForgotten, times: 50 }
        ))

    /** BullMQ makes a job available when it had no lock in two looks in a row. */
    const reap = Effect.gen(function*() {
      const reaped: Array<Reaped> = []
      for (const { backend, name } of queues) {
        const jobs = yield* Effect.tryPromise(() => backend.moveStalledJobsToWait())
        yield* forget(backend)
        if (jobs.length === 0) continue
        reaped.push({ queue: name, jobs: jobs.length })
        yield* wake(name)
      }
      return reaped
    })
    yield* Effect.forkScoped(reapLeases({
      every: expireEvery,
      renewEvery,
      // A pool whose renewals fail tries again every five seconds at last.
      grace: Duration.times(renewEvery, 3),
      // When this process starts, the server may have been away.
      graceAtStart: true,
      reach: Effect.as(Effect.tryPromise(() => redis.ping()), reap)
    }))
    yield* Effect.logInfo(`jobs: ${target.label}`)

    const openBackend = (key: string, lease: Duration.Duration) => {
      const settings = {
        connection: redis,
        prefix,
        skipVersionCheck: true,
        lockDuration: Math.ceil(Duration.toMillis(lease)),
        maxStalledCount,
        // Within this time only one process looks for stalled jobs.
        stalledInterval: Math.max(1, Math.floor(Duration.toMillis(expireEvery) / 2))
      }
      const backend = createRedisBackend(key, settings)
      // Commands report the errors of the connection. Without a listener the emitter would throw them.
      backend.on("error", () => undefined)
      return backend
    }

    const source: Service = {
      durable: true,
      renewEvery,
      orphanTurn: makeOrphanTurn(),
      open: (options) =>
        Effect.gen(function*() {
          const { name } = options
          const away = connection.awayError()
          if (away !== undefined) return yield* new JobSourceError({ operation: "open", queue: name, cause: away })
          const ownLease = yield* queueLease(options, lease, renewEvery)
          const key = encodeId(name)
          const wakeUp = yield* WakeUp.make(pollInterval)
          const { backend } = yield* Effect.acquireRelease(
            Effect.sync(() => {
              const queue = { name, wakeUp, backend: openBackend(key, ownLease) }
              queues.add(queue)
              return queue
            }),
            (queue) =>
              Effect.suspend(() => {
                queues.delete(queue)
                // Removes its listeners. The connection stays open: the source owns it.
                return Effect.promise(() => queue.backend.close())
              })
          )
          return RedisQueue.make({
            name,
            key,
            prefix,
            backend,
            connection,
            lease: ownLease,
            wakeUp,
            makeId,
            wake: wake(name)
          })
        })
    }
    return source
  })
