import type { StreamConfig } from "@nats-io/jetstream"
import type { Msg, NodeConnectionOptions } from "@nats-io/transport-node"
import { Duration, Effect, Option, Predicate, Queue, type Redacted } from "effect"
import { randomUUID } from "node:crypto"
import { bounded } from "../../../../core/internal/bounded.js"
import * as WakeUp from "../../internal/wakeUp.js"
import type { CarrierQueue, Delivery, Service } from "../../JobCarrier.js"
import { JobSourceError } from "../../JobSource.js"
import { connect, type Connection, settled } from "./connection.js"
import { decodeToken, encodeToken } from "./tokens.js"

/** The header with the id of a job whose token does not say it. */
const idHeader = "Lastcall-Id"

const codes = { streamNotFound: 10059, consumerNotFound: 10014, subjectFull: 10077, messageNotFound: 10037 }

const codeOf = (error: unknown): unknown => Predicate.hasProperty(error, "code") ? error.code : undefined

/** Whether the server has lost the stream or the consumer, as one without persistence does when it restarts. */
const isMissing = (error: unknown): boolean =>
  codeOf(error) === codes.streamNotFound || codeOf(error) === codes.consumerNotFound ||
  (Predicate.hasProperty(error, "name") && error.name === "NoResponders") ||
  (Predicate.hasProperty(error, "cause") && error.cause !== error && error.cause !== undefined &&
    isMissing(error.cause))

/** How long a pull waits for its first message: 20 ms, in nanoseconds. */
const moment = 20e6

/**
 * How long the answer to a pull may take. Servers, at least those up to 2.9, drop a request without an answer when a
 * message comes just after it has expired.
 */
const answerWithin = "500 millis"

/** What ends a pull: nothing is there, it has expired, it has all that it wants, no answer has come. */
const noMessages = 404
const expired = 408
const complete = 0
const unanswered = -1

interface Pulled {
  readonly deliveries: ReadonlyArray<Delivery>
  readonly status: number
}

interface Settings {
  readonly url: Redacted.Redacted
  readonly connection: NodeConnectionOptions
  readonly prefix: string
  readonly stream: Pick<Partial<StreamConfig>, "storage" | "num_replicas">
  readonly redeliverAfter: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly requestTimeout: Duration.Duration
}

/** See `JobCarrierNats.layer`. Connected until the scope closes. */
export const makeCarrier = (settings: Settings) =>
  Effect.gen(function*() {
    const { pollInterval, prefix, requestTimeout, url } = settings
    const queues = new Set<WakeUp.Waiting>()
    const messages = yield* Queue.unbounded<string>()
    const connection = yield* connect({
      url,
      timeout: requestTimeout,
      connection: settings.connection,
      onReady: () => messages.unsafeOffer(WakeUp.everyQueue)
    })
    const { nats } = connection
    // Not a subject of the stream, which has two more tokens.
    const wakeSubject = `${prefix}-wake`
    nats.subscribe(wakeSubject, { callback: (_, message) => void messages.unsafeOffer(message.string()) })
    yield* Effect.forkScoped(
      Effect.forever(Effect.flatMap(Queue.take(messages), (name) => WakeUp.notify(queues, name)))
    )
    yield* Effect.logInfo(`jobs: NATS at ${nats.getServer()}`)

    const carrier: Service = {
      priorities: false,
      open: ({ name }) =>
        Effect.gen(function*() {
          const wakeUp = yield* WakeUp.register(queues, name, pollInterval)
          const queue = makeQueue({ name, connection, settings, wakeUp, wake: () => nats.publish(wakeSubject, name) })
          yield* queue.create
          return queue
        })
    }
    return carrier
  })

const makeQueue = ({ connection, name, settings, wake, wakeUp }: {
  readonly name: string
  readonly connection: Connection
  readonly settings: Settings
  readonly wakeUp: WakeUp.WakeUp
  readonly wake: () => void
}): CarrierQueue & { readonly create: Effect.Effect<void, JobSourceError> } => {
  const { js, manager, nats } = connection
  const { prefix, redeliverAfter, requestTimeout } = settings
  const queueToken = encodeToken(name)
  // The server makes the subjects of acknowledgements with the name as a part of a format, where a `%` means something else.
  const consumer = queueToken.replaceAll("%", "=")
  const subjectOf = (id: string) => `${prefix}.${queueToken}.${encodeToken(id)}`

  /** The stream, whose messages are ids, and the consumer that all processes of this queue share. Both may be there. */
  const create = async () => {
    await manager.streams.add({
      storage: "file",
      ...settings.stream,
      name: prefix,
      subjects: [`${prefix}.*.*`],
      // An id that is held is not taken again, and one that is acknowledged is gone.
      retention: "workqueue",
      discard: "new",
      discard_new_per_subject: true,
      max_msgs_per_subject: 1
    })
    await manager.consumers.add(prefix, {
      durable_name: consumer,
      filter_subject: `${prefix}.${queueToken}.*`,
      ack_policy: "explicit",
      ack_wait: Duration.toMillis(redeliverAfter) * 1e6,
      max_deliver: -1,
      max_ack_pending: -1
    })
  }

  /** Uninterruptible, because a request that was sent is executed whether or not its caller waits. */
  const send = <A>(operation: string, request: () => Promise<A>): Effect.Effect<A, JobSourceError> =>
    Effect.uninterruptible(Effect.tryPromise({
      try: async () => {
        const away = connection.awayError()
        if (away !== undefined) throw away
        try {
          return await request()
        } catch (error) {
          if (!isMissing(error)) throw error
          await create()
          return await request()
        }
      },
      catch: (error) => new JobSourceError({ operation, queue: name, cause: connection.awayError() ?? error })
    }))

  /** The acknowledgements of deliveries: subjects that the server listens on. */
  const replies = new WeakMap<Delivery, string>()

  const toDelivery = (message: Msg): Delivery => {
    const token = message.subject.slice(message.subject.lastIndexOf(".") + 1)
    const id = message.headers?.get(idHeader) || (decodeToken(token) ?? token)
    // $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<deliveries>. and so on
    const reply = message.reply?.split(".") ?? []
    const attempt = Number(reply[reply.length > 9 ? 6 : 4] ?? 1)
    const payload = message.data.length === 0 ? Option.none() : Option.some(message.json<unknown>())
    const delivery: Delivery = { id, payload, attempt: Option.isNone(payload) ? 1 : attempt }
    if (message.reply !== undefined) replies.set(delivery, message.reply)
    return delivery
  }

  const headersOf = (id: string) => {
    if (decodeToken(encodeToken(id)) === id) return undefined
    const headers = connection.headers()
    headers.set(idHeader, id)
    return headers
  }
  /** An id that is held is refused, and left unchanged. */
  const publish = async (id: string) => {
    const headers = headersOf(id)
    try {
      await js.publish(subjectOf(id), undefined, headers === undefined ? {} : { headers })
    } catch (error) {
      if (codeOf(error) !== codes.subjectFull) throw error
    }
  }

  /** What is there now, or what comes first within a moment. */
  const pull = (limit: number, noWait: boolean): Effect.Effect<Pulled, Error> =>
    Effect.gen(function*() {
      const deliveries: Array<Delivery> = []
      const answer = Effect.async<number, Error>((resume) => {
        const inbox = `_INBOX.${randomUUID()}`
        // The finalizer of `Effect.async` runs only when it is interrupted.
        const end = (result: Effect.Effect<number, Error>) => {
          subscription.unsubscribe()
          resume(result)
        }
        const subscription = nats.subscribe(inbox, {
          callback: (error, message) => {
            if (error !== null) return end(Effect.fail(error))
            const { code = 0, description = "" } = message.headers ?? {}
            if (code === noMessages || code === expired) return end(Effect.succeed(code))
            if (code !== 0) return end(Effect.fail(Object.assign(new Error(description), { code })))
            deliveries.push(toDelivery(message))
            if (deliveries.length === limit) end(Effect.succeed(complete))
          }
        })
        const request = JSON.stringify({ batch: limit, expires: moment, no_wait: noWait })
        nats.publish(`$JS.API.CONSUMER.MSG.NEXT.${prefix}.${consumer}`, request, { reply: inbox })
        return Effect.sync(() => subscription.unsubscribe())
      })
      const status = yield* bounded({ within: answerWithin })(answer)
      if (Option.isSome(status)) return { deliveries, status: yield* status.value }
      yield* Effect.tryPromise(() => nats.flush())
      return { deliveries, status: unanswered }
    })

  /** A consumer may not know yet what the stream has accepted: a server that does not wait is asked once more, to wait. */
  const pullAll = (limit: number) =>
    Effect.gen(function*() {
      const now = yield* pull(limit, true)
      if (now.status !== noMessages || now.deliveries.length > 0) return now
      const first = yield* pull(1, false)
      if (first.deliveries.length === 0 || limit === 1) return first
      const more = yield* pull(limit - 1, true)
      return { deliveries: [...first.deliveries, ...more.deliveries], status: more.status }
    })

  return {
    create: send("open", create),

    offer: (ids) =>
      ids.length === 0 ? Effect.void : send("offer", async () => {
        await Promise.all(ids.map(publish))
        wake()
      }),

    wait: wakeUp.wait,

    receive: (limit) =>
      Effect.gen(function*() {
        yield* wakeUp.reset
        const away = connection.awayError()
        if (away !== undefined) return yield* Effect.fail(away)
        const late = () => new Error("the server does not answer")
        const { deliveries, status } = yield* settled(yield* bounded({ within: requestTimeout })(pullAll(limit)), late)
        if (deliveries.length === limit || status === unanswered) yield* wakeUp.notify
        return deliveries
      }).pipe(
        Effect.tapError((error) =>
          isMissing(error) ? Effect.zipRight(Effect.ignore(send("receive", create)), wakeUp.notify) : wakeUp.notify
        ),
        Effect.mapError((cause) => new JobSourceError({ operation: "receive", queue: name, cause })),
        Effect.uninterruptible
      ),

    ack: (deliveries) =>
      Effect.asVoid(send("ack", () =>
        Promise.all(deliveries.map(async (delivery) => {
          const reply = replies.get(delivery)
          if (reply === undefined) return
          await nats.request(reply, "+ACK", { timeout: Duration.toMillis(requestTimeout) }).catch((error: unknown) => {
            // The consumer is gone, and the delivery with it.
            if (!isMissing(error)) throw error
          })
        })))),

    holds: (id) =>
      send("holds", async () => {
        try {
          return await manager.streams.getMessage(prefix, { last_by_subj: subjectOf(id) }) !== null
        } catch (error) {
          if (codeOf(error) === codes.messageNotFound) return false
          throw error
        }
      })
  }
}
