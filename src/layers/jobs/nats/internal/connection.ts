import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream"
import type { MsgHdrs, NatsConnection, NodeConnectionOptions } from "@nats-io/transport-node"
import { Duration, Effect, type Exit, Option, Redacted, Schema, type Scope } from "effect"
import { bounded } from "../../../../core/internal/bounded.js"
import { errorMessage } from "../../../../core/internal/errorMessage.js"
import { optionalPeers, rethrow } from "../../../../core/internal/optionalPeers.js"

/**
 * Why the first connection failed. The message is for people: it names the place, and never a password.
 *
 * @since 0.1.0
 * @category errors
 */
export class NatsError extends Schema.TaggedError<NatsError>()("NatsError", {
  reason: Schema.Literal("InvalidUrl", "Unreachable", "NoJetStream"),
  message: Schema.String
}) {}

const peers = optionalPeers("JobCarrierNats", {
  "@nats-io/transport-node": () => import("@nats-io/transport-node").catch(rethrow),
  "@nats-io/jetstream": () => import("@nats-io/jetstream").catch(rethrow)
})

/** A connection that is made anew until its scope closes. */
export interface Connection {
  readonly nats: NatsConnection
  readonly js: JetStreamClient
  readonly manager: JetStreamManager
  readonly headers: () => MsgHdrs
  /** Why requests would fail now; `undefined` while the connection is up. */
  readonly awayError: () => Error | undefined
}

interface Target {
  readonly server: string
  readonly user: string | undefined
  readonly pass: string | undefined
  readonly tls: boolean
  readonly label: string
}

const text = (encoded: string) => encoded === "" ? undefined : decodeURIComponent(encoded)

/** Error messages never repeat the URL: it may hold a password. */
const parseUrl = (url: Redacted.Redacted): Effect.Effect<Target, NatsError> =>
  Effect.try({
    try: () => {
      const { hostname, password, port, protocol, username } = new URL(Redacted.value(url).trim())
      if (protocol !== "nats:" && protocol !== "tls:" || hostname === "") throw new Error("no NATS URL")
      const server = `${hostname}:${port === "" ? 4222 : port}`
      return {
        server,
        user: text(username),
        pass: text(password),
        tls: protocol === "tls:",
        label: `NATS at ${server}`
      }
    },
    catch: () =>
      new NatsError({
        reason: "InvalidUrl",
        message:
          "The NATS URL is invalid: expected nats://user:password@host:port, or tls:// for TLS, with special characters " +
          "in the user and the password percent-encoded."
      })
  })

/**
 * Connects, and fails when that takes longer than `timeout`. After that, a lost connection is made anew without end, and
 * `onReady` runs each time, also the first.
 */
export const connect = (options: {
  readonly url: Redacted.Redacted
  readonly timeout: Duration.Duration
  readonly connection: NodeConnectionOptions
  readonly onReady: () => void
}): Effect.Effect<Connection, NatsError, Scope.Scope> =>
  Effect.gen(function*() {
    const timeout = Duration.toMillis(options.timeout)
    const { label, pass, server, tls, user } = yield* parseUrl(options.url)
    const { "@nats-io/jetstream": jetstream, "@nats-io/transport-node": transport } = yield* peers
    const unreachable = (error: unknown) =>
      new NatsError({ reason: "Unreachable", message: `${label} cannot be reached: ${errorMessage(error)}` })
    const nats = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: () =>
          transport.connect({
            name: "lastcall",
            ...user === undefined ? {} : { user },
            ...pass === undefined ? {} : { pass },
            ...tls ? { tls: {} } : {},
            ...options.connection,
            servers: server,
            timeout,
            maxReconnectAttempts: -1,
            reconnectTimeWait: 250
          }),
        catch: unreachable
      }),
      // Closes the socket. Nothing is in flight: each request was awaited.
      (nats) => bounded({ within: "1 second" })(Effect.promise(() => nats.close()))
    )
    let away = false
    yield* Effect.tryPromise(async () => {
      for await (const { type } of nats.status()) {
        if (type === "disconnect" || type === "staleConnection") away = true
        if (type === "reconnect") {
          away = false
          options.onReady()
        }
      }
    }).pipe(Effect.ignore, Effect.forkScoped)
    const manager = yield* Effect.tryPromise({
      try: () => jetstream.jetstreamManager(nats, { timeout }),
      catch: (error) =>
        new NatsError({
          reason: "NoJetStream",
          message: `${label} has no JetStream for this account: ${errorMessage(error)}`
        })
    })
    options.onReady()
    return {
      nats,
      js: jetstream.jetstream(nats, { timeout }),
      manager,
      headers: () => transport.headers(),
      awayError: () => away || nats.isClosed() ? new Error(`${label} is away`) : undefined
    }
  })

/** What a bounded wait has given: its failure, its defect, or that it took too long. */
export const settled = <A, E>(exit: Option.Option<Exit.Exit<A, E>>, late: () => E): Effect.Effect<A, E> =>
  Option.match(exit, { onNone: () => Effect.fail(late()), onSome: (exit) => exit })
