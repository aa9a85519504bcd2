import type { JobJson } from "bullmq"
import { Clock, Duration, Effect, Option, Predicate, type Redacted } from "effect"
import { randomUUID } from "node:crypto"
import { defaultPriority } from "../../internal/priority.js"
import type { CarrierQueue, Delivery, Service } from "../../JobCarrier.js"
import { decodeId, encodeId } from "./ids.js"
import { encodePayload, toJob } from "./jobRecord.js"
import { finished } from "./queue.js"
import { isLeaseLost, makeSend } from "./redisCommands.js"
import { makeServer, type OpenQueue, type Server } from "./server.js"
import { makeTakes, takeAtOnce } from "./takes.js"

/** The payload of a job that stands for a row of the ledger. */
const reference = { lastcall: "outbox" }

const isReference = (payload: unknown): boolean =>
  Predicate.hasProperty(payload, "lastcall") && payload.lastcall === reference.lastcall

/** See `JobCarrierRedis.layer`. Connected, subscribed and delivering again until the scope closes. */
export const makeCarrier = (options: {
  readonly url: Redacted.Redacted
  readonly prefix: string
  readonly redeliverAfter: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly connectTimeout: Duration.Duration
}) =>
  Effect.gen(function*() {
    const { prefix, redeliverAfter } = options
    const expireEvery = Duration.times(redeliverAfter, 1 / 4)
    const server = yield* makeServer({ ...options, expireEvery, owner: "JobCarrierRedis" })
    const { queues, wake } = server

    /** BullMQ makes a job available when it had no lock in two looks in a row. */
    const deliverAgain = Effect.forEach(queues, ({ backend, name }) =>
      Effect.flatMap(
        Effect.tryPromise(() => backend.moveStalledJobsToWait()),
        (jobs) => jobs.length === 0 ? Effect.void : wake(name)
      ), { discard: true })
    yield* deliverAgain.pipe(
      // Also while the server is away.
      Effect.catchAllCause((cause) => Effect.logDebug("deliveries could not be looked at, trying again", cause)),
      Effect.delay(expireEvery),
      Effect.forever,
      Effect.forkScoped
    )

    const carrier: Service = {
      priorities: true,
      open: ({ name }) => Effect.map(server.open(name, redeliverAfter), (queue) => makeQueue(server, queue, prefix))
    }
    return carrier
  })

const makeQueue = (server: Server, { backend, key, name, wakeUp }: OpenQueue, prefix: string): CarrierQueue => {
  const { connection } = server
  const wake = server.wake(name)
  const send = makeSend(name, connection)

  /** The locks of deliveries, for as long as their receiver has them. */
  const tokens = new WeakMap<Delivery, string>()

  const take = makeTakes(wakeUp)
  const receiveAtOnce = (count: number) =>
    takeAtOnce(backend, count, randomUUID, (jobId, json, token) => {
      const { payload } = toJob(jobId, json)
      const delivery: Delivery = {
        id: decodeId(jobId),
        payload: isReference(payload) ? Option.none() : Option.some(payload),
        attempt: (json.attemptsMade ?? 0) + 1
      }
      tokens.set(delivery, token)
      return delivery
    })

  /** Removes the job, so that its id can be offered again; unless it was delivered again meanwhile. */
  const acknowledge = async (delivery: Delivery) => {
    const token = tokens.get(delivery)
    if (token === undefined) return
    try {
      await backend.moveToCompleted(finished(encodeId(delivery.id)), null, true, token, false)
    } catch (error) {
      if (!isLeaseLost(error)) throw error
    }
  }

  return {
    offer: (ids, { first = false, priority = defaultPriority } = {}) =>
      ids.length === 0 ? Effect.void : Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        const data = encodePayload(reference)
        // BullMQ delivers jobs without a priority first, as those of 0.
        const opts = first ? { lifo: true } : priority > defaultPriority ? { priority } : {}
        // One transaction: all of the ids are held, or none. Each that is put in front is put before those before it.
        yield* send("offer", async () => {
          const entries = (first ? [...ids].reverse() : ids).map((id) => ({
            prefix,
            queueName: key,
            jobId: encodeId(id),
            parentKeyOpts: {},
            jobData: { name: "job", data, opts, timestamp: now } as unknown as JobJson
          }))
          for (const [error] of await backend.addFlow(entries)) if (error !== null) throw error
        })
        yield* wake
      }),

    wait: wakeUp.wait,

    receive: (limit) => take<Delivery>(limit, (count) => send("receive", () => receiveAtOnce(count))),

    ack: (deliveries) => send("ack", () => Promise.all(deliveries.map(acknowledge))),

    holds: (id) => Effect.map(send("holds", () => connection.redis.exists(backend.toKey(encodeId(id)))), (n) => n === 1)
  }
}
