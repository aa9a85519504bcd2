import type { RedisQueueBackend } from "bullmq"
import { Duration, Effect, Queue, type Redacted, Scope } from "effect"
import { once } from "../../../../core/internal/once.js"
import { optionalPeers, rethrow } from "../../../../core/internal/optionalPeers.js"
import type { ThreadConnection } from "../../../../core/internal/threadConnection.js"
import { type Cancellations, makeCancellations, messageOf } from "../../internal/cancellations.js"
import { endedMessageOf } from "../../internal/jobEnds.js"
import * as WakeUp from "../../internal/wakeUp.js"
import { JobSourceError } from "../../JobSource.js"
import { connect, type Connection } from "./connection.js"
import { encodeId } from "./ids.js"
import { parseUrl } from "./url.js"

/** Effectively unlimited: what becomes of a job that stalls again and again is not decided by BullMQ. */
const maxStalledCount = 2 ** 31

/** A queue of BullMQ that this process has opened. */
export interface OpenQueue {
  readonly name: string
  /** The name, encoded for keys. */
  readonly key: string
  readonly wakeUp: WakeUp.WakeUp
  readonly backend: RedisQueueBackend
}

/** A connection for commands, a subscription that wakes queues, and the queues of BullMQ that are open. */
export interface Server {
  readonly connection: Connection
  /** A connection that sends by itself while the event loop is blocked. Started once, when it is run. */
  readonly thread: Effect.Effect<ThreadConnection>
  readonly queues: ReadonlySet<OpenQueue>
  /** Wakes this queue in all processes. Those that miss the message find the jobs by polling. */
  readonly wake: (name: string) => Effect.Effect<void>
  readonly cancellations: Cancellations
  /** Tells all processes that this claim's job was cancelled. */
  readonly tellCancelled: (name: string, token: string) => Effect.Effect<void>
  /** Tells all processes that a queue was paused or resumed. Those that miss the message see it when they poll. */
  readonly tellPaused: Effect.Effect<void>
  /** Tells all processes that a job has ended. Those that miss the message see it when they poll. */
  readonly tellEnded: (name: string, id: string) => Effect.Effect<void>
  /** Opens a queue until the scope closes. A job that is taken from it is locked for so long. */
  readonly open: (name: string, lock: Duration.Duration) => Effect.Effect<OpenQueue, JobSourceError, Scope.Scope>
}

/** A message that is no name of a queue. */
const pausedMessage = " paused"

const peersOf = (owner: string) =>
  optionalPeers(owner, {
    bullmq: () => import("bullmq").catch(rethrow),
    ioredis: () => import("ioredis").catch(rethrow)
  })

/** Connected and subscribed until the scope closes. */
export const makeServer = (options: {
  /** The module that needs it, for messages. */
  readonly owner: string
  readonly url: Redacted.Redacted
  readonly prefix: string
  /** How often jobs without a lock are looked for. */
  readonly expireEvery: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly connectTimeout: Duration.Duration
  /** Runs after a message of `tellPaused`, and when messages may have been missed. */
  readonly onPaused?: Effect.Effect<void>
  /** Runs for every message. */
  readonly onMessage?: (message: string) => void
}) =>
  Effect.gen(function*() {
    const { connectTimeout, expireEvery, onMessage, onPaused = Effect.void, pollInterval, prefix } = options
    const target = yield* parseUrl(options.url)
    const { bullmq: { createRedisBackend }, ioredis: { Redis } } = yield* peersOf(options.owner)
    const queues = new Set<OpenQueue>()
    const cancellations = makeCancellations()
    const channel = `${prefix}:lastcall:wake`

    const connection = yield* connect({ Redis, target, connectTimeout, responseTimeout: connectTimeout })
    const { redis } = connection
    const messages = yield* Queue.unbounded<string>()
    const subscriber = yield* connect({
      Redis,
      // Channels belong to no database, and a subscriber can select none.
      target: { ...target, db: 0 },
      connectTimeout,
      responseTimeout: undefined,
      onReady: (redis) =>
        void redis.subscribe(channel).then(() => messages.unsafeOffer(WakeUp.everyQueue), () => undefined)
    })
    subscriber.redis.on("message", (_, name) => messages.unsafeOffer(name))
    yield* Effect.forkScoped(
      Effect.forever(Effect.flatMap(Queue.take(messages), (name) => {
        onMessage?.(name)
        return cancellations.receive(name) ?? Effect.zipRight(
          name === WakeUp.everyQueue || name === pausedMessage ? onPaused : Effect.void,
          WakeUp.notify(queues, name)
        )
      }))
    )
    yield* Effect.logInfo(`jobs: ${target.label}`)

    const openBackend = (key: string, lock: Duration.Duration) => {
      const settings = {
        connection: redis,
        prefix,
        skipVersionCheck: true,
        lockDuration: Math.ceil(Duration.toMillis(lock)),
        maxStalledCount,
        // Within this time only one process looks for stalled jobs.
        stalledInterval: Math.max(1, Math.floor(Duration.toMillis(expireEvery) / 2))
      }
      const backend = createRedisBackend(key, settings)
      // Commands report the errors of the connection. Without a listener the emitter would throw them.
      backend.on("error", () => undefined)
      return backend
    }

    const scope = yield* Effect.scope
    // Most apps have no use for it.
    const thread = Effect.flatMap(
      Effect.promise(() => import("./redisThread.js")),
      ({ makeRedisThread }) => makeRedisThread({ redis, target, connectTimeout })
    )
    const wake = (name: string) => Effect.ignore(Effect.tryPromise(() => redis.publish(channel, name)))
    const server: Server = {
      connection,
      thread: once(() => Scope.extend(thread, scope))(),
      queues,
      wake,
      cancellations,
      tellCancelled: (name, token) => wake(messageOf(name, token)),
      tellPaused: wake(pausedMessage),
      tellEnded: (name, id) => wake(endedMessageOf(name, id)),
      open: (name, lock) =>
        Effect.gen(function*() {
          const away = connection.awayError()
          if (away !== undefined) return yield* new JobSourceError({ operation: "open", queue: name, cause: away })
          const key = encodeId(name)
          const wakeUp = yield* WakeUp.make(pollInterval)
          return yield* Effect.acquireRelease(
            Effect.sync(() => {
              const queue = { name, key, wakeUp, backend: openBackend(key, lock) }
              queues.add(queue)
              return queue
            }),
            (queue) =>
              Effect.suspend(() => {
                queues.delete(queue)
                // Removes its listeners. The connection stays open: the server owns it.
                return Effect.promise(() => queue.backend.close())
              })
          )
        })
    }
    return server
  })
