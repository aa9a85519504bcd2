/**
 * Finds the connections on which nothing arrives any more, although neither side has closed them, and destroys them: the network, a
 * firewall or a pooler has forgotten them. Neither `pg` nor `@effect/sql-pg` does: their statements wait without end.
 */
import type { SqlError } from "@effect/sql"
import { Effect, Schedule } from "effect"
import { brief } from "../contract.js"
import type { Connection } from "./connection.js"
import type { ConnectionPool } from "./connectionPool.js"
import type { Backend, QueryResult } from "./driverConnection.js"
import { lookEvery, patience } from "./patience.js"
import type { Statement } from "./statement.js"

/** The server is asked about statements that are silent for half a minute. */
const askedFrom = patience.transaction

/** How often in a row the server must say that it does not work on a statement: its answer may be on the way the first time. */
const denials = 2

/**
 * Which server it is, for its connections: what another one says of them means nothing, such as another replica behind the same name. A
 * cluster has one primary, so the answer of the one that takes over is as good.
 */
export const whichServer = `SELECT (SELECT system_identifier FROM pg_control_system())::text ||
  CASE WHEN pg_is_in_recovery() THEN ' ' || pg_postmaster_start_time()::text ELSE '' END AS server`

const whatItDoes = brief(`SELECT server, ARRAY(
    SELECT pid FROM pg_stat_activity WHERE pid = ANY($1::int[])
      AND coalesce(state, '') NOT IN ('idle', 'idle in transaction', 'idle in transaction (aborted)')) AS working
  FROM (${whichServer}) AS this`)

interface Silent {
  readonly connection: Connection
  readonly statement: Statement
  readonly backend: Backend
}

/**
 * Runs while the database is open. A statement that is silent for longer than its patience loses its connection. So does any statement
 * that has been silent for half a minute when the server says twice that it does not work on it. It is asked over the reserved pool.
 * `onFound` is called when a connection was destroyed.
 */
export const watchSilence = (options: {
  readonly main: ConnectionPool
  readonly reserved: ConnectionPool
  readonly onFound: () => void
}): Effect.Effect<unknown> => {
  const { main, onFound, reserved } = options

  const look = Effect.sync(() => {
    const found = [
      main.destroySilent(patience),
      reserved.destroySilent({ ...patience, own: patience.transaction, others: patience.transaction })
    ]
    if (found.includes(true)) onFound()
  })

  const silent = (): ReadonlyArray<Silent> =>
    main.leased().flatMap((connection) => {
      const statement = connection.silentFor(askedFrom)
      const { backend } = connection
      return statement === undefined || backend === undefined ? [] : [{ connection, statement, backend }]
    })

  const judge = (asked: ReadonlyArray<Silent>, result: QueryResult) => {
    const [{ server, working }] = (result as { readonly rows: ReadonlyArray<unknown> }).rows as [
      { server: string; working: ReadonlyArray<number> }
    ]
    for (const { backend, connection, statement } of asked) {
      if (backend.server !== server || connection.silentFor(askedFrom) !== statement) continue
      if (working.includes(backend.pid)) statement.isWorkedOn()
      else if (++statement.denials >= denials) {
        connection.destroy()
        onFound()
      }
    }
  }

  const ask: Effect.Effect<unknown, SqlError.SqlError> = Effect.suspend(() => {
    const asked = silent()
    if (asked.length === 0) return Effect.void
    const pids = asked.map(({ backend }) => backend.pid)
    return Effect.map(reserved.query(whatItDoes, [pids], "object"), (result) => judge(asked, result))
  })

  // Apart: a server that does not answer the question either must not hold up the looks.
  return Effect.all([look, Effect.ignore(ask)].map((step) => Effect.repeat(step, Schedule.spaced(lookEvery))), {
    concurrency: "unbounded",
    discard: true
  })
}
