/**
 * PGlite: PostgreSQL in this process, with one connection. `@effect/sql-pglite` is published for Effect 4 alone; and PGlite by itself lets the
 * statements of any fiber into a transaction that is open.
 */
import type { SqlError } from "@effect/sql"
import { Duration, Effect, Option, Stream } from "effect"
import type { CustomTypesConfig } from "pg"
import type { DatabaseError } from "../contract.js"
import { type Driver, makeConnectionPool } from "./connectionPool.js"
import { folderUnusable, openDataFolder } from "./dataFolder.js"
import { makeErrors } from "./errors.js"
import { refuseOwnWait } from "./ownWait.js"
import type { PglitePeers } from "./peers.js"
import { createCluster, pgliteMessage } from "./pgliteCluster.js"
import { connectPglite } from "./pgliteConnection.js"

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
export const openPglite = (
  peers: PglitePeers,
  folder: string | undefined,
  types?: CustomTypesConfig
): Effect.Effect<Driver, DatabaseError> =>
  Effect.gen(function*() {
    const pg = peers.pg.default
    const { release, ...options } = yield* preparePlace(peers, folder)
    const db = yield* Effect.tryPromise({
      try: () => peers["@electric-sql/pglite"].PGlite.create(options),
      catch: (error) => folderUnusable(options.dataDir, pgliteMessage(error))
    }).pipe(Effect.onError(() => release))
    const errors = makeErrors(peers["@effect/sql"])
    const connect = connectPglite(db, pg, types ?? pg.types, errors)
    // PGlite answers without a turn of the event loop: a sequence of statements would delay signals, timers and sockets until its end.
    const { pool, watch } = refuseOwnWait(
      makeConnectionPool(1, errors, (done) => void setImmediate(connect, done)),
      errors
    )
    const notifications = (channel: string) =>
      Stream.asyncPush<string, SqlError.SqlError>((emit) =>
        Effect.gen(function*() {
          yield* Effect.acquireRelease(
            Effect.sync(() => db.onNotification((from, payload) => from === channel && emit.single(payload))),
            (off) => Effect.sync(off)
          )
          // The connection listens until it is closed: `UNLISTEN` would end it for other listeners too.
          yield* pool.query(`LISTEN ${pg.escapeIdentifier(channel)}`, [], "object")
          emit.single("")
        }), { bufferSize: "unbounded" })
    const listen = (channel: string) => Stream.catchAll(notifications(channel), () => Stream.empty)
    const driver: Driver = {
      kind: "pglite",
      pool,
      reserved: pool,
      begin: ["BEGIN"],
      listen,
      hear: listen,
      watch,
      quiesce: pool.close,
      drain: pool.awaitIdle,
      interrupt: pool.revoke,
      release: Effect.zipRight(Effect.ignore(Effect.tryPromise(() => db.close())), release),
      progress: pool.progress
    }
    return driver
  }).pipe(Effect.uninterruptible)
