import type { RedisQueueBackend } from "bullmq"
import { Duration, Effect, Queue, type Redacted } from "effect"
import { optionalPeers, rethrow } from "../../../../core/internal/optionalPeers.js"
import { leaseError } from "../../internal/lease.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSourceError, type Service } from "../../JobSource.js"
import { connect } from "./connect.js"
import { expiring } from "./expiring.js"
import { encodeId, makeIds } from "./ids.js"
import * as RedisQueue from "./queue.js"
import { parseUrl } from "./url.js"

/** More than anybody counts to: who gives a job up is the pool. */
const maxStalledCount = 2 ** 31

interface Entry {
  readonly name: string
  readonly wakeUp: WakeUp.WakeUp
  readonly backend: RedisQueueBackend
}

const peers = optionalPeers("JobSourceRedis", {
  bullmq: () => import("bullmq").catch(rethrow),
  ioredis: () => import("ioredis").catch(rethrow)
})

/** See `JobSourceRedis.layer`. Connected, listening, and expiring leases, until the scope closes. */
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
    const queues = new Set<Entry>()
    const makeId = makeIds()
    const channel = `${prefix}:lastcall:wake`

    const connection = yield* connect({ Redis, target, connectTimeout, patience: connectTimeout })
    const { redis } = connection
    const news = yield* Queue.unbounded<string>()
    const subscriber = yield* connect({
      Redis,
      target,
      connectTimeout,
      patience: undefined,
      onReady: (redis) => void redis.subscribe(channel).then(() => news.unsafeOffer(WakeUp.everyQueue), () => undefined)
    })
    subscriber.redis.on("message", (_, name) => news.unsafeOffer(name))
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(news), (name) => WakeUp.notify(queues, name))))

    /** Those who are not told find out by looking again. */
    const wake = (name: string) => Effect.ignore(Effect.tryPromise(() => redis.publish(channel, name)))
    yield* Effect.forkScoped(expiring({ queues, ping: () => redis.ping(), every: expireEvery, renewEvery, wake }))
    yield* Effect.logInfo(`jobs: ${target.label}`)

    const openBackend = (key: string, lease: Duration.Duration) => {
      const settings = {
        connection: redis,
        prefix,
        skipVersionCheck: true,
        lockDuration: Math.ceil(Duration.toMillis(lease)),
        maxStalledCount,
        // One process looks each time: for the others it was looked at not long ago.
        stalledInterval: Math.max(1, Math.floor(Duration.toMillis(expireEvery) / 2))
      }
      const backend = createRedisBackend(key, settings)
      // The connection's errors are told to those who ask. An emitter without a listener throws them at the process.
      backend.on("error", () => undefined)
      return backend
    }

    const source: Service = {
      durable: true,
      renewEvery,
      open: ({ lease: wanted = lease, name }) =>
        Effect.gen(function*() {
          const failure = (cause: unknown) => new JobSourceError({ operation: "open", queue: name, cause })
          const ownLease = Duration.decode(wanted)
          const away = connection.away()
          if (away !== undefined) return yield* failure(away)
          const fault = leaseError(ownLease, renewEvery)
          if (fault !== undefined) return yield* failure(fault)
          const key = encodeId(name)
          const wakeUp = yield* WakeUp.make(pollInterval)
          const { backend } = yield* Effect.acquireRelease(
            Effect.sync(() => {
              const entry = { name, wakeUp, backend: openBackend(key, ownLease) }
              queues.add(entry)
              return entry
            }),
            (entry) =>
              Effect.suspend(() => {
                queues.delete(entry)
                // Stops listening to the connection, which is not the queue's to close.
                return Effect.promise(() => entry.backend.close())
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
