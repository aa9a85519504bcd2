import { Duration, Effect, Exit, Option, Schedule, Stream } from "effect"
import pg from "pg"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import type { Internals } from "./cancelRequest.js"

/** A peer that has gone without a word is noticed within half a minute; those who listen also poll. */
const heartbeat = { every: "20 seconds", within: "10 seconds" } as const

interface ListenerOptions {
  readonly url: string
  readonly connectTimeout: Duration.Duration
}

/** Listens until the connection is lost, which is its failure. */
const once = (options: ListenerOptions, channel: string): Stream.Stream<string, unknown> =>
  Stream.asyncPush<string, unknown>((emit) =>
    Effect.gen(function*() {
      const client = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new pg.Client({
            connectionString: options.url,
            connectionTimeoutMillis: Duration.toMillis(options.connectTimeout),
            application_name: "lastcall listener",
            keepAlive: true
          })
        ),
        // Nothing is lost with it, so there is no good-bye that somebody would have to wait for.
        (client) => Effect.sync(() => (client as unknown as Internals).connection.stream.destroy())
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

/**
 * `LISTEN`, on a connection of its own for each stream. It never fails: a connection that is lost is made anew, until
 * the database is closed.
 */
export const listener =
  (options: ListenerOptions, closed: Effect.Effect<void>) => (channel: string): Stream.Stream<string> =>
    once(options, channel).pipe(
      Stream.retry(backoff("5 seconds")),
      Stream.orDie,
      Stream.interruptWhen(closed)
    )
