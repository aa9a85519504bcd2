/** PGlite: PostgreSQL in this process, with one connection. */
import type { PGlite, Results } from "@electric-sql/pglite"
import { Duration, Effect, Option, Stream } from "effect"
import type { DatabaseError } from "../contract.js"
import type { ConnectionError, DriverConnection, QueryResult } from "./connection.js"
import { type Driver, makeConnectionPool } from "./connectionPool.js"
import { folderUnusable, openDataFolder } from "./dataFolder.js"
import type { Pg, PglitePeers } from "./peers.js"
import { createCluster, pgliteMessage } from "./pgliteCluster.js"

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

/** What is opened: a folder that contains a database by then, or the files of one in memory. */
interface Place {
  readonly dataDir: string
  readonly loadDataDir?: Blob
  readonly release: Effect.Effect<void>
}

/** Makes a place ready to be opened. Interruptible where that takes time. */
const preparePlace = (peers: PglitePeers, folder: string | undefined): Effect.Effect<Place, DatabaseError> => {
  const create = (target: string | undefined) =>
    Effect.mapError(
      createCluster(peers["@electric-sql/pglite"].PGlite, target),
      ({ cause }) => folderUnusable(folder ?? "memory://", pgliteMessage(cause))
    )
  const creating = Effect.logInfo(
    `creating an embedded database in ${folder ?? "memory"}, which takes some seconds` +
      (folder === undefined ? "" : " the first time")
  )
  if (folder === undefined) {
    return Effect.zipRight(creating, Effect.interruptible(create(undefined))).pipe(
      Effect.map((files) => ({
        dataDir: "memory://",
        release: Effect.void,
        ...Option.isSome(files) && { loadDataDir: files.value }
      }))
    )
  }
  return Effect.gen(function*() {
    const { create: createIn, isNew, path, release } = yield* openDataFolder(folder)
    if (isNew) {
      const [took] = yield* Effect.zipRight(creating, Effect.interruptible(createIn(create))).pipe(
        Effect.timed,
        Effect.onError(() => release)
      )
      yield* Effect.logInfo(
        `created the embedded database in ${folder}, in ${Math.round(Duration.toSeconds(took))} seconds`
      )
    }
    return { dataDir: path, release }
  })
}

/**
 * Opens the embedded database in a folder, which it locks for this process, or in memory. An interruption ends the creation of a new
 * database; an existing one is opened, then closed again.
 */
export const openPglite = (peers: PglitePeers, folder: string | undefined): Effect.Effect<Driver, DatabaseError> =>
  Effect.gen(function*() {
    const pg = peers.pg.default
    const { release, ...options } = yield* preparePlace(peers, folder)
    const db = yield* Effect.tryPromise({
      try: () => peers["@electric-sql/pglite"].PGlite.create(options),
      catch: (error) => folderUnusable(options.dataDir, pgliteMessage(error))
    }).pipe(Effect.onError(() => release))
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
      attributes: { "db.namespace": options.dataDir },
      quiesce: pool.close,
      drain: pool.awaitIdle,
      interrupt: pool.revoke,
      release: Effect.zipRight(Effect.ignore(Effect.tryPromise(() => db.close())), release),
      progress: pool.progress
    }
    return driver
  }).pipe(Effect.uninterruptible)
