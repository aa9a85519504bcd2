import { Duration, Effect, Exit, Option, Predicate, Queue, type Redacted } from "effect"
import { createHash, randomUUID } from "node:crypto"
import type { Channel, Connection, ConnectionOptions, SyncMessage } from "rabbitmq-client"
import { bounded } from "../../../../core/internal/bounded.js"
import { errorMessage } from "../../../../core/internal/errorMessage.js"
import { monotonicMillis } from "../../../../core/internal/monotonic.js"
import * as WakeUp from "../../internal/wakeUp.js"
import type { CarrierQueue, Delivery, Service } from "../../JobCarrier.js"
import { JobSourceError } from "../../JobSource.js"
import { connect } from "./connection.js"

/** The type of a message that is the id of a job in the ledger. */
const reference = "lastcall"

interface Settings {
  readonly url: Redacted.Redacted
  readonly connection: ConnectionOptions
  readonly prefix: string
  readonly redeliverAfter: Duration.Duration
  readonly pollInterval: Duration.Duration
  readonly requestTimeout: Duration.Duration
}

/** A channel, and the deliveries that it may acknowledge: when it closes, the broker delivers them again. */
interface Open {
  readonly channel: Channel
  readonly unacked: Map<Delivery, { readonly deliveryTag: number; until: number }>
}

/** See `JobCarrierRabbit.layer`. Connected until the scope closes. */
export const makeCarrier = (settings: Settings) =>
  Effect.gen(function*() {
    const { pollInterval, prefix, redeliverAfter, requestTimeout } = settings
    const { label, rabbit } = yield* connect({ ...settings, timeout: requestTimeout })
    const queues = new Set<WakeUp.Waiting>()
    const messages = yield* Queue.unbounded<string>()
    const wakeUps = { exchange: `${prefix}.wake`, type: "fanout", durable: true }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const consumer = rabbit.createConsumer({
          noAck: true,
          exchanges: [wakeUps],
          queueOptions: { exclusive: true },
          queueBindings: [{ exchange: wakeUps.exchange }]
        }, ({ body }) => void messages.unsafeOffer(String(body)))
        consumer.on("ready", () => void messages.unsafeOffer(WakeUp.everyQueue))
        // It is made anew.
        return consumer.on("error", () => undefined)
      }),
      (consumer) => bounded({ within: "1 second" })(Effect.promise(() => consumer.close()))
    )
    const publisher = yield* Effect.acquireRelease(
      Effect.sync(() => rabbit.createPublisher({ exchanges: [wakeUps] })),
      (publisher) => bounded({ within: "1 second" })(Effect.promise(() => publisher.close()))
    )
    yield* Effect.forkScoped(
      Effect.forever(Effect.flatMap(Queue.take(messages), (name) => WakeUp.notify(queues, name)))
    )
    yield* Effect.logInfo(`jobs: ${label}`)

    const carrier: Service = {
      priorities: false,
      open: ({ name }) =>
        Effect.gen(function*() {
          const wakeUp = yield* WakeUp.register(queues, name, pollInterval)
          // An offer does not fail when its message is lost: the others poll.
          const wake = () => publisher.send({ exchange: wakeUps.exchange }, name).catch(() => undefined)
          const queue = makeQueue({ name, rabbit, label, settings, wakeUp, wake })
          yield* Effect.addFinalizer(() => queue.close)
          yield* queue.create
          yield* queue.deliverAgain.pipe(
            Effect.delay(Duration.times(redeliverAfter, 1 / 4)),
            Effect.forever,
            // A queue may be opened in an uninterruptible region, and the loop must end with its scope.
            Effect.interruptible,
            Effect.forkScoped
          )
          return queue
        })
    }
    return carrier
  })

const payloadOf = (body: unknown): unknown => {
  const text = Buffer.isBuffer(body) ? body.toString() : body
  if (typeof text !== "string") return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** An attempt is counted by the ledger, not by deliveries. */
const toDelivery = ({ body, messageId, type }: SyncMessage): Delivery =>
  type === reference
    ? { id: String(body), payload: Option.none(), attempt: 1 }
    : { id: messageId ?? randomUUID(), payload: Option.some(payloadOf(body)), attempt: 1 }

const makeQueue = ({ label, name, rabbit, settings, wake, wakeUp }: {
  readonly name: string
  readonly rabbit: Connection
  readonly label: string
  readonly settings: Settings
  readonly wakeUp: WakeUp.WakeUp
  readonly wake: () => Promise<void>
}) => {
  const { prefix, redeliverAfter, requestTimeout } = settings
  // A name has at most 255 bytes.
  const queue = `${prefix}.${Buffer.byteLength(name) <= 200 ? name : createHash("sha256").update(name).digest("hex")}`
  const oneAtATime = Effect.unsafeMakeSemaphore(1)
  let current: Open | undefined

  /**
   * The queue may be there. The ledger counts attempts, so the broker sets no limit to deliveries: one that is never reached, because
   * version 3 drops a message that comes again under the -1 that means unlimited to version 4.
   */
  const declare = (channel: Channel) =>
    channel.queueDeclare({
      queue,
      durable: true,
      arguments: { "x-queue-type": "quorum", "x-delivery-limit": 2 ** 31 - 1 }
    })

  const away = (error: unknown) => new Error(`${label} is away: ${errorMessage(error)}`)

  const open = async (signal: AbortSignal) => {
    if (!rabbit.ready) throw new Error("not connected")
    if (current?.channel.active === true) return current
    const channel = await rabbit.acquire()
    if (signal.aborted) {
      void channel.close()
      throw new Error("too late")
    }
    current = { channel, unacked: new Map() }
    await channel.confirmSelect()
    await declare(channel)
    return current
  }

  /** The broker delivers what the channel has not acknowledged again, to any process. */
  const close = Effect.suspend(() => {
    const last = current
    current = undefined
    return last === undefined
      ? Effect.void
      : bounded({ within: "1 second" })(Effect.promise(() => last.channel.close()))
  })

  /** Uninterruptible, because a request that was sent is executed whether or not its caller waits. */
  const send = <A>(operation: string, request: (open: Open) => Promise<A> | A): Effect.Effect<A, JobSourceError> =>
    Effect.tryPromise({
      try: async (signal) => {
        try {
          return await request(await open(signal))
        } catch (error) {
          // The broker has lost the queue, and has closed the channel.
          if (!Predicate.hasProperty(error, "code") || error.code !== "NOT_FOUND") throw error
          return await request(await open(signal))
        }
      },
      catch: (error) => new JobSourceError({ operation, queue: name, cause: rabbit.ready ? error : away(error) })
    }).pipe(
      bounded({ within: requestTimeout }),
      Effect.flatMap(
        Option.getOrElse(() =>
          Exit.fail(new JobSourceError({ operation, queue: name, cause: new Error(`${label} does not answer`) }))
        )
      ),
      Effect.tapError(() => close),
      oneAtATime.withPermits(1),
      Effect.uninterruptible
    )

  const receiveOne = send("receive", async ({ channel, unacked }) => {
    const message = await channel.basicGet(queue)
    if (message === undefined) return undefined
    const delivery = toDelivery(message)
    unacked.set(delivery, { deliveryTag: message.deliveryTag, until: Number.POSITIVE_INFINITY })
    return delivery
  })

  /** Not longer than a request, however busy the broker is: what it has left is received next. */
  const receive = (limit: number) =>
    Effect.gen(function*() {
      yield* wakeUp.reset
      const deliveries: Array<Delivery> = []
      const end = (yield* monotonicMillis) + Duration.toMillis(requestTimeout)
      let one: Delivery | undefined
      do {
        one = yield* receiveOne
        if (one !== undefined) deliveries.push(one)
      } while (one !== undefined && deliveries.length < limit && (yield* monotonicMillis) < end)
      if (one !== undefined) yield* wakeUp.notify
      const until = (yield* monotonicMillis) + Duration.toMillis(redeliverAfter)
      for (const delivery of deliveries) {
        const entry = current?.unacked.get(delivery)
        if (entry !== undefined) entry.until = until
      }
      return deliveries
    })

  const carrierQueue: CarrierQueue = {
    offer: (ids) =>
      ids.length === 0 ? Effect.void : send("offer", async ({ channel }) => {
        await declare(channel)
        await Promise.all(
          ids.map((id) => channel.basicPublish({ routingKey: queue, type: reference, durable: true }, Buffer.from(id)))
        )
        await wake()
      }),

    wait: wakeUp.wait,

    receive: (limit) => Effect.uninterruptible(Effect.tapError(receive(limit), () => wakeUp.notify)),

    ack: (deliveries) =>
      send("ack", ({ channel, unacked }) => {
        for (const delivery of deliveries) {
          const entry = unacked.get(delivery)
          if (entry !== undefined && unacked.delete(delivery)) channel.basicAck({ deliveryTag: entry.deliveryTag })
        }
      }),

    // How many messages wait is all that it can say, and enough for the sentinel, which is never received.
    holds: () => send("holds", async ({ channel }) => (await declare(channel)).messageCount > 0)
  }

  return {
    ...carrierQueue,
    create: send("open", () => undefined),
    close,
    /** Returns what was not acknowledged in time. */
    deliverAgain: Effect.flatMap(monotonicMillis, (now) => {
      const late = Array.from(current?.unacked ?? []).filter(([, { until }]) => until <= now)
      return late.length === 0 ? Effect.void : Effect.ignore(send("redeliver", async ({ channel, unacked }) => {
        for (const [delivery, { deliveryTag }] of late) if (unacked.delete(delivery)) channel.basicNack({ deliveryTag })
        await wake()
      }))
    })
  }
}
