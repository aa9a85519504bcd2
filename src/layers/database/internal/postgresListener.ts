/**
 * `LISTEN` on a connection for each stream, which is replaced when it is lost. `PgClient` shares one: when it is lost its streams are silent for
 * good (sql-pg-listen in docs/upstream), and the first stream that ends takes the channel from the others. Nor does it notice a pooler.
 */
import type { SqlError } from "@effect/sql"
import { Data, Deferred, Effect, Exit, Option, Schedule, Stream } from "effect"
import { randomUUID } from "node:crypto"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import { clientConfigOf, type ServerOptions } from "./clientConfig.js"
import type { Errors } from "./errors.js"
import type { ClientInternals, Pg } from "./peers.js"

/** Detects within half a minute that the server has gone without closing the connection. Listeners also poll. */
const heartbeat = { every: "20 seconds", within: "10 seconds" } as const

/** How long a notification may take that another connection has sent: it takes milliseconds. */
const hearWithin = "10 seconds"

/** A pooler gives each transaction any connection: the one that listens is not the one that is heard. */
class Deaf extends Data.TaggedError("Deaf") {}

const isDeaf = (error: unknown) => error instanceof Deaf

type Notify = (channel: string, payload: string) => Effect.Effect<void, SqlError.SqlError>

/** Listens on one connection. Fails when it is lost. */
const listenOnConnection = (
  pg: Pg,
  options: ServerOptions,
  notify: Notify,
  channel: string
): Stream.Stream<string, unknown> =>
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
        bounded({ within: heartbeat.within })(Effect.tryPromise(() => client.query<{ readonly pid?: number }>(text)))
          .pipe(
            Effect.disconnect,
            Effect.flatMap((exit) =>
              Option.isSome(exit) && Exit.isSuccess(exit.value)
                ? exit.value
                : Effect.fail(new Error("The connection does not answer"))
            )
          )
      /** Fails where a notification of another connection does not arrive. */
      const checkHearing = Effect.gen(function*() {
        const check = `lastcall_${randomUUID()}`
        const heard = yield* Deferred.make<void>()
        client.on("notification", (notification) => {
          if (notification.channel === check) Deferred.unsafeDone(heard, Effect.void)
        })
        yield* send(`LISTEN "${check}"`)
        yield* notify(check, "")
        const arrived = yield* Effect.disconnect(bounded({ within: hearWithin })(Deferred.await(heard)))
        yield* send(`UNLISTEN "${check}"`)
        if (Option.isNone(arrived)) return yield* new Deaf()
      })
      yield* Effect.tryPromise(() => client.connect())
      const { rows: [backend] } = yield* send("SELECT pg_backend_pid() AS pid")
      // A pooler gives its clients pids of its own.
      if (backend?.pid !== (client as unknown as ClientInternals).processID) yield* checkHearing
      yield* send(`LISTEN ${pg.escapeIdentifier(channel)}`)
      emit.single("")
      yield* Effect.forkScoped(
        Effect.repeat(send("SELECT 1"), Schedule.spaced(heartbeat.every)).pipe(
          Effect.catchAll((error) => Effect.sync(() => emit.fail(error)))
        )
      )
    }), { bufferSize: "unbounded" })

/** `LISTEN`, with one connection for each stream. */
export interface Listening {
  /** A lost connection is replaced until the database is closed. Fails where no notification can arrive, behind some poolers. */
  readonly listen: (channel: string) => Stream.Stream<string, SqlError.SqlError>
  /** The same, but where no notification can arrive it says so in a warning, and is silent. */
  readonly hear: (channel: string) => Stream.Stream<string>
}

/** `notify` must use another connection, and `closed` complete when the database is closed. */
export const makeListening = (options: {
  readonly pg: Pg
  readonly server: ServerOptions
  readonly errors: Errors
  readonly notify: Notify
  readonly closed: Effect.Effect<void>
}): Listening => {
  const { closed, errors, notify, pg, server } = options
  const listen: Listening["listen"] = (channel) =>
    listenOnConnection(pg, server, notify, channel).pipe(
      Stream.retry(Schedule.whileInput(backoff("5 seconds"), (error: unknown) => !isDeaf(error))),
      Stream.catchAll((error) => isDeaf(error) ? Stream.fail(errors.deaf()) : Stream.die(error)),
      Stream.interruptWhen(closed)
    )
  return {
    listen,
    hear: (channel) =>
      Stream.catchAll(listen(channel), ({ message }) =>
        Stream.drain(Stream.fromEffect(
          Effect.zipRight(Effect.logWarning(`${message}. Until then jobs are found by looking for them`), closed)
        )))
  }
}
