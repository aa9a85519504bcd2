import { Effect, Exit, Option, Schedule, Stream } from "effect"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import { clientConfigOf, type ServerOptions } from "./clientConfig.js"
import type { ClientInternals, Pg } from "./peers.js"

/** Detects within half a minute that the server has gone without closing the connection. Listeners also poll. */
const heartbeat = { every: "20 seconds", within: "10 seconds" } as const

/** Listens on one connection. Fails when it is lost. */
const listenOnConnection = (pg: Pg, options: ServerOptions, channel: string): Stream.Stream<string, unknown> =>
  Stream.asyncPush<string, unknown>((emit) =>
    Effect.gen(function*() {
      const client = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new pg.Client(
            clientConfigOf({ ...options, applicationName: `${options.applicationName ?? "lastcall"} listener` })
          )
        ),
        // The connection has no state to lose, so its socket is closed without waiting for the server.
        (client) => Effect.sync(() => (client as unknown as ClientInternals).connection.stream.destroy())
      )
      client.on("error", (error) => emit.fail(error))
      client.on("end", () => emit.fail(new Error("The connection ended")))
      client.on("notification", (notification) => {
        if (notification.channel === channel) emit.single(notification.payload ?? "")
      })
      const send = (text: string) =>
        bounded({ within: heartbeat.within })(Effect.tryPromise(() => client.query(text))).pipe(
          Effect.disconnect,
          Effect.filterOrFail(
            (exit) => Option.isSome(exit) && Exit.isSuccess(exit.value),
            () => new Error("The connection does not answer")
          )
        )
      yield* Effect.tryPromise(() => client.connect())
      yield* send(`LISTEN ${pg.escapeIdentifier(channel)}`)
      emit.single("")
      yield* Effect.forkScoped(
        Effect.repeat(send("SELECT 1"), Schedule.spaced(heartbeat.every)).pipe(
          Effect.catchAll((error) => Effect.sync(() => emit.fail(error)))
        )
      )
    }), { bufferSize: "unbounded" })

/** `LISTEN`, with one connection for each stream. Never fails: a lost connection is replaced until the database is closed. */
export const makeListen =
  (pg: Pg, options: ServerOptions, closed: Effect.Effect<void>) => (channel: string): Stream.Stream<string> =>
    listenOnConnection(pg, options, channel).pipe(
      Stream.retry(backoff("5 seconds")),
      Stream.orDie,
      Stream.interruptWhen(closed)
    )
