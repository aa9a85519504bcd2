import type { RedisQueueBackend } from "bullmq"
import { Clock, Duration, Effect, type Redacted } from "effect"
import { makeJobEnds } from "../../internal/jobEnds.js"
import { queueLease } from "../../internal/lease.js"
import { type Reaped, reapLeases } from "../../internal/leaseReaper.js"
import { makeOrphanTurn } from "../../internal/orphanTurn.js"
import { makePausedQueues } from "../../internal/pausedQueues.js"
import { renewWhileBlocked } from "../../internal/whileBlocked.js"
import type { Service } from "../../JobSource.js"
import { endsOf } from "./ends.js"
import { encodeId, makeIds } from "./ids.js"
import * as RedisQueue from "./queue.js"
import { makeSend } from "./redisCommands.js"
import { mostForgotten, renewal, scriptsOf } from "./scripts.js"
import { makeServer, type Server } from "./server.js"

/** See `JobSourceRedis.layer`. Connected, subscribed and reaping expired leases until the scope closes. */
export const make = (options: {
  readonly url: Redacted.Redacted
  readonly prefix: string
  readonly lease: Duration.Duration
  readonly expireEvery: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly connectTimeout: Duration.Duration
  readonly capacity: number
  readonly renewWhileBlocked: boolean
}) =>
  Effect.gen(function*() {
    const { capacity, expireEvery, lease, pollInterval, prefix } = options
    const renewEvery = Duration.times(lease, 1 / 4)
    const makeId = makeIds()
    const pausedQueues = yield* makePausedQueues({
      pollInterval,
      read: (names) => {
        const named = [...server.queues].filter(({ name }) => names.includes(name))
        return Effect.map(
          Effect.filter(named, ({ backend, name }) =>
            makeSend(name, server.connection)("paused", () => backend.hasQueueMetaField("paused")), {
            concurrency: "unbounded"
          }),
          (paused) =>
            paused.map(({ name }) =>
              name
            )
        )
      }
    })
    const jobEnds = yield* makeJobEnds(pollInterval)
    const server: Server = yield* makeServer({
      ...options,
      owner: "JobSourceRedis",
      onPaused: pausedQueues.look,
      onMessage: jobEnds.receive
    })
    const { connection, queues, wake } = server
    const { redis } = connection
    const startThread = options.renewWhileBlocked ? server.thread : undefined

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

    const source: Service = {
      durable: true,
      priorities: true,
      keys: false,
      dependencies: false,
      renewEvery,
      orphanTurn: makeOrphanTurn(),
      open: (options) =>
        Effect.gen(function*() {
          const { name } = options
          const ownLease = yield* queueLease(options, lease, renewEvery)
          const queue = yield* server.open(name, ownLease)
          // BullMQ's own, which its dashboards show and set.
          const setPaused = (paused: boolean) =>
            Effect.zipRight(
              makeSend(name, connection)("setPaused", () => queue.backend.pause(paused)),
              paused ? server.tellPaused : Effect.zipRight(server.tellPaused, wake(name))
            )
          const pause = yield* pausedQueues.open({ name, write: setPaused })
          // Only a pool runs jobs, and has a concurrency.
          const thread = options.concurrency === undefined ? undefined : startThread
          const whileBlocked = thread === undefined
            ? undefined
            : yield* renewWhileBlocked(yield* thread, {
              lease: ownLease,
              message: renewal((type) => queue.backend.toKey(type), Math.ceil(Duration.toMillis(ownLease))),
              textOf: ({ id, token }) => `${encodeId(id)}:${token}`
            })
          return {
            ...RedisQueue.make({
              ...queue,
              prefix,
              connection,
              capacity,
              lease: ownLease,
              makeId,
              wake: wake(name),
              tellCancelled: (token) => server.tellCancelled(name, token),
              tellEnded: (id) => server.tellEnded(name, id)
            }),
            ...pause,
            awaitEnd: jobEnds.open(endsOf(name, queue.backend, connection)),
            whileBlocked,
            onCancel: server.cancellations.open(name)
          }
        })
    }
    return source
  })
