/** PGlite: PostgreSQL in this process, with one connection. */
import type { PGlite, Results } from "@electric-sql/pglite"
import { Effect, Stream } from "effect"
import type { DatabaseError } from "../contract.js"
import { type ConnectionError, type DriverConnection, driverMessage, type QueryResult } from "./connection.js"
import { type Driver, makeConnectionPool } from "./connectionPool.js"
import { type DataFolder, folderUnusable, openDataFolder } from "./dataFolder.js"
import type { Pg, PglitePeers } from "./peers.js"

/** Parses values as `pg` does, so that code sees no difference between the two databases: a bigint is a string. */
const parsersOf = (pg: Pg) => {
  const parserOf = pg.types.getTypeParser as (oid: number) => (text: string) => unknown
  return Object.fromEntries(
    Array.from({ length: 5000 }, (_, oid) => [oid, parserOf(oid)] as const)
      .filter(([, parse]) => parse !== parserOf(0))
  )
}

/** Lets the event loop turn once. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** PGlite has no network: a statement is answered, or the process has ended. */
const toDriverConnection = (db: PGlite, parsers: ReturnType<typeof parsersOf>): DriverConnection => ({
  send: async (text, values, rowMode) => {
    const options = { rowMode, parsers }
    if (values.length > 0) return db.query(text, [...values], options)
    const results = await db.exec(text, options)
    return (results.length === 1 ? results[0] as Results : results) as QueryResult
  },
  afterError: "ROLLBACK",
  cancel: Effect.void,
  destroy: () => undefined,
  // PGlite answers without a turn of the event loop: a sequence of statements would delay signals, timers and sockets until its end.
  giveBack: () => turn
})

const inMemory: DataFolder = { path: "memory://", isNew: false, opened: Effect.void, release: Effect.void }

/**
 * Opens the embedded database in a folder, which it locks for this process, or in memory. Opening takes some seconds when the folder is
 * new, and is uninterruptible: an interrupted start waits for it, and closes the database again.
 */
export const openPglite = (peers: PglitePeers, folder: string | undefined): Effect.Effect<Driver, DatabaseError> =>
  Effect.gen(function*() {
    const pg = peers.pg.default
    const dataFolder = folder === undefined ? inMemory : yield* openDataFolder(folder)
    if (dataFolder.isNew) {
      yield* Effect.logInfo(`creating an embedded database in ${folder}, which takes some seconds the first time`)
    }
    const db = yield* Effect.tryPromise({
      try: () => peers["@electric-sql/pglite"].PGlite.create({ dataDir: dataFolder.path }),
      catch: (error) => folderUnusable(dataFolder.path, driverMessage(error))
    }).pipe(Effect.onError(() => dataFolder.release))
    yield* dataFolder.opened
    const parsers = parsersOf(pg)
    const pool = makeConnectionPool(1, () => Effect.succeed(toDriverConnection(db, parsers)))
    const notifications = (channel: string) =>
      Stream.asyncPush<string, ConnectionError>((emit) =>
        Effect.gen(function*() {
          yield* Effect.acquireRelease(
            Effect.sync(() => db.onNotification((from, payload) => from === channel && emit.single(payload))),
            (off) => Effect.sync(off)
          )
          // The connection listens until it is closed: `UNLISTEN` would end it for other listeners too.
          yield* Effect.scoped(
            Effect.flatMap(pool.lease, (connection) => connection.query(`LISTEN ${pg.escapeIdentifier(channel)}`))
          )
          emit.single("")
        }), { bufferSize: "unbounded" })
    const driver: Driver = {
      kind: "pglite",
      lease: pool.lease,
      leaseReserved: pool.lease,
      begin: "BEGIN",
      listen: (channel) => Stream.catchAll(notifications(channel), () => Stream.empty),
      attributes: { "db.namespace": dataFolder.path },
      quiesce: pool.close,
      drain: pool.awaitIdle,
      interrupt: pool.revoke,
      release: Effect.zipRight(Effect.ignore(Effect.tryPromise(() => db.close())), dataFolder.release),
      progress: pool.progress
    }
    return driver
  }).pipe(Effect.uninterruptible)
