import { Duration, Effect, Redacted, Schema, type Scope } from "effect"
import type { Connection, ConnectionOptions } from "rabbitmq-client"
import { bounded } from "../../../../core/internal/bounded.js"
import { errorMessage } from "../../../../core/internal/errorMessage.js"
import { optionalPeers, rethrow } from "../../../../core/internal/optionalPeers.js"

/**
 * Why the first connection failed. The message is for people: it names the place, and never a password.
 *
 * @since 0.1.0
 * @category errors
 */
export class RabbitError extends Schema.TaggedError<RabbitError>()("RabbitError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable"),
  message: Schema.String
}) {}

const peers = optionalPeers("JobCarrierRabbit", {
  "rabbitmq-client": () => import("rabbitmq-client").catch(rethrow)
})

/** Error messages never repeat the URL: it may hold a password. */
const labelOf = (url: Redacted.Redacted): Effect.Effect<string, RabbitError> =>
  Effect.try({
    try: () => {
      const { host, password, protocol, username } = new URL(Redacted.value(url).trim())
      if (protocol !== "amqp:" && protocol !== "amqps:" || host === "") throw new Error("no AMQP URL")
      decodeURIComponent(username + password)
      return `RabbitMQ at ${host}`
    },
    catch: () =>
      new RabbitError({
        reason: "InvalidUrl",
        message: "The RabbitMQ URL is invalid: expected amqp://user:password@host:port/vhost, or amqps:// for TLS, " +
          "with special characters in the user and the password percent-encoded."
      })
  })

/** In seconds. The broker closes a connection after two of them: so long a process may be blocked, and a host that has vanished unnoticed. */
const heartbeat = 5

/** Connects, and fails when that fails or takes longer than `timeout`. A lost connection is made anew until the scope closes. */
export const connect = (options: {
  readonly url: Redacted.Redacted
  readonly connection: ConnectionOptions
  readonly timeout: Duration.Duration
}): Effect.Effect<{ readonly rabbit: Connection; readonly label: string }, RabbitError, Scope.Scope> =>
  Effect.gen(function*() {
    const label = yield* labelOf(options.url)
    const { "rabbitmq-client": { Connection } } = yield* peers
    const timeout = Duration.toMillis(options.timeout)
    const rabbit = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Connection({
          ...options.connection,
          url: Redacted.value(options.url).trim(),
          connectionName: "lastcall",
          heartbeat,
          acquireTimeout: timeout,
          connectionTimeout: timeout,
          retryLow: 100,
          retryHigh: 1_000,
          noDelay: true
        })
      ),
      (rabbit) =>
        Effect.zipRight(
          bounded({ within: "1 second" })(Effect.promise(() => rabbit.close())),
          Effect.sync(() => rabbit.unsafeDestroy())
        )
    )
    yield* Effect.tryPromise({
      try: () =>
        new Promise<void>((resolve, reject) => {
          // Later errors are those of operations, which fail.
          rabbit.on("error", reject)
          rabbit.onConnect(timeout, true).then(resolve, reject)
        }),
      catch: (error) =>
        new RabbitError({ reason: "Unreachable", message: `${label} cannot be reached: ${errorMessage(error)}` })
    })
    return { rabbit, label }
  })
