/**
 * Statements whose rows are fetched as they are read. `PgClient` keeps the reader's own statements out of the connection meanwhile, and outside of a
 * transaction commits what a reader that failed has not read; PGlite has no cursors of the protocol.
 */
import type { SqlError } from "@effect/sql"
import { Chunk, Effect, Exit, Option, type Scope, Stream } from "effect"
import type { Connection } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import type { Query, QueryResult } from "./driverConnection.js"
import type { Errors } from "./errors.js"
import { commit } from "./transaction.js"

type Rows = Stream.Stream<object, SqlError.SqlError>

export type Streaming = (text: string, values: ReadonlyArray<unknown>) => Rows

/** Bounds one statement, or one fetch of a stream. */
export type WithTimeout = <A>(statement: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, SqlError.SqlError>

interface Streams {
  /** On a connection of its own. */
  readonly ofPool: Streaming
  /** On a connection that the caller has, in its transaction if it has one. */
  readonly ofLease: (connection: Connection) => Streaming
}

/** The rows that are fetched at a time. */
const size = 256

/** The rows of one statement; an array of rows for each statement of a text of several. */
export const rowsOf = (result: QueryResult): ReadonlyArray<object> =>
  (Array.isArray(result) ? result.map(({ rows }) => rows) : result.rows) as ReadonlyArray<object>

/** Fetches until there are fewer rows than asked for, and then runs `end`. */
const fetchAll = (
  fetch: Effect.Effect<QueryResult, SqlError.SqlError>,
  end: Effect.Effect<unknown, SqlError.SqlError> = Effect.void
): Rows =>
  Stream.paginateChunkEffect(undefined, () =>
    Effect.flatMap(fetch, (result) => {
      const rows = Chunk.unsafeFromArray(rowsOf(result))
      return rows.length < size
        ? Effect.as(end, [rows, Option.none<undefined>()] as const)
        : Effect.succeed([rows, Option.some(undefined)] as const)
    }))

/** The whole result at once. */
const buffered = (query: Query): Streaming => (text, values) =>
  Stream.unwrap(Effect.map(query(text, values, "object"), (result) => Stream.fromIterable(rowsOf(result))))

const queryOf = (connection: Connection): Query => (...statement) => connection.query(...statement)

const returnsRows = (text: string) => /^\s*(select|values|table|with|insert|update|delete|merge|\()/i.test(text)

/**
 * By portals, as `@effect/sql-pg` does, so that every statement with rows can be streamed. Outside of a transaction the stream is one:
 * committed at its end, and rolled back if its consumer fails or is interrupted.
 */
export const portalStreams = (pool: ConnectionPool, errors: Errors, timed: WithTimeout): Streams => {
  const ofLease = (connection: Connection): Streaming => (text, values) => {
    if (!returnsRows(text)) return buffered(queryOf(connection))(text, values)
    return Stream.unwrapScoped(Effect.suspend(() => {
      const portal = connection.portal(text, values)
      if (connection.isInTransaction) {
        return Effect.as(Effect.addFinalizer(() => Effect.ignore(portal.close)), fetchAll(timed(portal.fetch(size))))
      }
      let isOpen = true
      const end = Effect.suspend(() => {
        isOpen = false
        return commit(connection, errors)
      })
      return Effect.addFinalizer((exit) =>
        !isOpen ? Effect.void : Exit.isSuccess(exit) ? Effect.ignore(end) : connection.rollback
      ).pipe(
        // Without the bound on idle transactions: the consumer may take its time.
        Effect.zipRight(connection.query("BEGIN", [], "object")),
        Effect.as(fetchAll(timed(portal.fetch(size)), Effect.uninterruptible(end)))
      )
    }))
  }
  return {
    ofLease,
    ofPool: (text, values) =>
      Stream.unwrapScoped(Effect.map(pool.lease, (connection) => ofLease(connection)(text, values)))
  }
}

/** Whether the rows can be kept by a cursor outside of a transaction. Else, or in doubt, they are buffered. */
const isHoldable = (text: string) =>
  /^\s*(select|values|table|with|\()/i.test(text) && !/\b(insert|update|delete|merge|share|into)\b/i.test(text)

/**
 * By cursors of SQL `WITH HOLD`, for PGlite, which has no portals. A cursor belongs to the one session and not to a lease: between two
 * fetches, the connection is free for other statements, those of the consumer among them.
 */
export const cursorStreams = (pool: ConnectionPool): Streams => {
  let cursors = 0
  const by = (query: Query, open: typeof opened): Streaming => (text, values) => {
    if (!isHoldable(text)) return buffered(query)(text, values)
    const cursor = `lastcall_cursor_${cursors++}`
    return Stream.unwrapScoped(Effect.as(
      open(
        query(`DECLARE ${cursor} NO SCROLL CURSOR WITH HOLD FOR ${text}`, values, "object"),
        Effect.ignore(query(`CLOSE ${cursor}`, [], "object"))
      ),
      fetchAll(query(`FETCH ${size} FROM ${cursor}`, [], "object"))
    ))
  }
  return { ofPool: by(pool.query, openedBeside), ofLease: (connection) => by(queryOf(connection), opened) }
}

/** Declares a cursor, and closes it when the scope does. */
const opened = (
  declare: Effect.Effect<unknown, SqlError.SqlError>,
  close: Effect.Effect<void>
): Effect.Effect<unknown, SqlError.SqlError, Scope.Scope> => Effect.acquireRelease(declare, () => close)

/**
 * The same where both wait for the session. To declare is interruptible: interrupted, it may have opened the cursor; failed, it has not. The
 * cursor is closed beside the reader, which may have been interrupted by a transaction that has the session.
 */
const openedBeside: typeof opened = (declare, close) =>
  Effect.suspend(() => {
    let failed = false
    // The yield lets it take its place in the queue, before what the reader sends next.
    const closeBeside = Effect.zipRight(Effect.forkDaemon(close), Effect.yieldNow())
    return Effect.addFinalizer(() => failed ? Effect.void : closeBeside).pipe(
      Effect.zipRight(declare),
      Effect.tapError(() =>
        Effect.sync(() => {
          failed = true
        })
      )
    )
  })
