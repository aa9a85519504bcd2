import type { SqlError } from "@effect/sql"
import { PGlite, type Results } from "@electric-sql/pglite"
import { Effect, Stream } from "effect"
import pg from "pg"
import type { DatabaseError } from "../contract.js"
import { makeCheckouts } from "./checkouts.js"
import type { Driver } from "./driver.js"
import { type Folder, openFolder, unusable } from "./folder.js"
import { type Answer, reasonOf, type Wire } from "./session.js"

const parserOf = pg.types.getTypeParser as (oid: number) => (text: string) => unknown

/** Values come out as from `pg`, so that code does not see which of the two it runs on: a bigint is a string. */
const parsers = Object.fromEntries(
  Array.from({ length: 5000 }, (_, oid) => [oid, parserOf(oid)] as const)
    .filter(([, parse]) => parse !== parserOf(0))
)

/** Lets the event loop turn once. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** The one connection. PGlite has no network: a statement is answered, or the process is gone. */
const wireOf = (db: PGlite): Wire => ({
  send: async (text, values, rowMode) => {
    const options = { rowMode, parsers }
    if (values.length > 0) return db.query(text, [...values], options)
    const results = await db.exec(text, options)
    return (results.length === 1 ? results[0] as Results : results) as Answer
  },
  afterError: "ROLLBACK",
  cancel: Effect.void,
  destroy: () => undefined,
  // Its answers come without the event loop ever turning: who asks one thing after the other would keep signals, timers
  // and sockets waiting until the end.
  checkIn: () => turn
})

const inMemory: Folder = { path: "memory://", isNew: false, opened: Effect.void, release: Effect.void }

/**
 * The embedded database, in a folder that is locked for this process, or in memory. Opening it takes its time (some
 * seconds the first time) and cannot be cut short: who interrupts it waits, and it is closed again.
 */
export const openPglite = (folder: string | undefined): Effect.Effect<Driver, DatabaseError> =>
  Effect.gen(function*() {
    const place = folder === undefined ? inMemory : yield* openFolder(folder)
    if (place.isNew) yield* Effect.logInfo(`making an embedded database in ${folder}, which takes some seconds once`)
    const db = yield* Effect.tryPromise({
      try: () => PGlite.create({ dataDir: place.path }),
      catch: (error) => unusable(place.path, reasonOf(error))
    }).pipe(Effect.onError(() => place.release))
    yield* place.opened
    const checkouts = makeCheckouts(1, () => Effect.succeed(wireOf(db)))
    const notifications = (channel: string) =>
      Stream.asyncPush<string, SqlError.SqlError>((emit) =>
        Effect.gen(function*() {
          yield* Effect.acquireRelease(
            Effect.sync(() => db.onNotification((from, payload) => from === channel && emit.single(payload))),
            (off) => Effect.sync(off)
          )
          // It stays on for the life of the connection, which is the process's own: nobody pays for it.
          yield* Effect.scoped(
            Effect.flatMap(checkouts.checkout, (_) => _.query(`LISTEN ${pg.escapeIdentifier(channel)}`))
          )
          emit.single("")
        }), { bufferSize: "unbounded" })
    const driver: Driver = {
      kind: "pglite",
      checkout: checkouts.checkout,
      reserved: checkouts.checkout,
      begin: "BEGIN",
      listen: (channel) => Stream.catchAll(notifications(channel), () => Stream.empty),
      attributes: { "db.namespace": place.path },
      quiesce: checkouts.close,
      drain: checkouts.idle,
      interrupt: checkouts.revoke,
      release: Effect.zipRight(Effect.ignore(Effect.tryPromise(() => db.close())), place.release),
      progress: checkouts.progress
    }
    return driver
  }).pipe(Effect.uninterruptible)
