/**
 * The connection of `pg` as a `DriverConnection`. `pg` has the message that cancels a statement, and knows whether a transaction is open;
 * `PgClient` uses neither: it cancels by a statement over the pool, and leases a connection again in whatever state it is.
 */
import { Effect, Exit } from "effect"
import type { Duplex } from "node:stream"
import type * as PgTypes from "pg"
import { isBrief, isOwn } from "../contract.js"
import type { Around, DriverConnection, QueryExit, QueryResult, RowMode } from "./driverConnection.js"
import type { Errors } from "./errors.js"
import type { ClientInternals, Pg } from "./peers.js"
import type { PipelinedQueryClass } from "./pipelined.js"
import { makePortal } from "./portal.js"
import { isStale, makePreparedStatements } from "./preparedStatements.js"

interface ProtocolConnection extends NodeJS.EventEmitter {
  readonly stream: Duplex
  readonly connect: (portOrPath: number | string, host?: string) => void
  readonly requestSsl: () => void
  readonly cancel: (processID: number, secretKey: number) => void
}

/**
 * Asks the server to cancel the statement of this client, over a connection made for the purpose. The request needs no connection of
 * the pool and no connection slot of the server, both of which may be exhausted, and poolers such as PgBouncer forward it, which they
 * would not do with `pg_cancel_backend`.
 *
 * Completes when the server closes that connection, which it does after sending the signal. Best effort: never fails.
 */
const cancelStatement = (pg: Pg, client: ClientInternals): Effect.Effect<void> =>
  Effect.async<void>((resume) => {
    const { processID, secretKey } = client
    if (processID === null || secretKey === null) return resume(Effect.void)
    const connection = new pg.Connection(
      { ssl: client.ssl } as PgTypes.ConnectionConfig
    ) as unknown as ProtocolConnection
    const cancel = () => connection.cancel(processID, secretKey)
    connection.once(
      "connect",
      client.ssl && client.sslNegotiation !== "direct" ? () => connection.requestSsl() : cancel
    )
    connection.once("sslconnect", cancel)
    connection.on("error", () => resume(Effect.void))
    connection.once("end", () => resume(Effect.void))
    if (client.host.startsWith("/")) connection.connect(`${client.host}/.s.PGSQL.${client.port}`)
    else connection.connect(client.port, client.host)
    return Effect.sync(() => connection.stream.destroy())
  })

/**
 * Calls back when the server is ready for the next statement, or the connection is lost. `pg` reports an error before that: the server
 * has not said yet whether a transaction is open, and would take a cancellation that arrives now for one of the next statement.
 */
const whenReady = (client: ClientInternals, done: () => void) => {
  if (client.readyForQuery || client._ended || !client._queryable) return done()
  const { connection } = client
  const onReady = () => {
    connection.off("readyForQuery", onReady)
    connection.off("end", onReady)
    done()
  }
  connection.on("readyForQuery", onReady)
  connection.on("end", onReady)
}

/** What a pool finds out about its server after it has made connections. */
interface Found {
  readonly prepares: () => boolean
  /** Whether no pooler is in front of it. */
  readonly isDirect: () => boolean
  /** Known once the connection is set up, if it can be. */
  readonly server: () => string | undefined
}

export const toDriverConnection = (
  pg: Pg,
  client: PgTypes.PoolClient,
  errors: Errors,
  PipelinedQuery: PipelinedQueryClass,
  { isDirect, prepares, server }: Found
): DriverConnection => {
  const internals = client as unknown as ClientInternals
  const prepared = makePreparedStatements(internals)
  const fail = (error: Error, done: (exit: QueryExit) => void) =>
    whenReady(internals, () => done(Exit.fail(errors.failed(error))))
  let portals = 0
  const send = (
    name: string | undefined,
    text: string,
    values: ReadonlyArray<unknown>,
    rowMode: RowMode,
    done: (exit: QueryExit) => void,
    around?: Around
  ): void => {
    const onEnd = (error: Error | null, result: unknown) => {
      if (error === null) return done(Exit.succeed(result as QueryResult))
      if (name === undefined || !isStale(error)) return fail(error, done)
      whenReady(internals, () => {
        prepared.forget(text)
        if (client.getTransactionStatus() !== "I") return done(Exit.fail(errors.failed(error)))
        send(undefined, text, values, rowMode, done)
      })
    }
    const config = { text, values, name, ...(rowMode === "array" && { rowMode }) } as PgTypes.QueryConfig
    // A text without values may be several statements.
    if (values.length === 0) return void client.query(config, onEnd as never)
    const query = new PipelinedQuery(config, undefined, onEnd)
    query.around = around
    client.query(query as unknown as PgTypes.Submittable)
  }
  return {
    // Where a silent statement cannot be asked about, `BEGIN` by itself finds out within half a minute that the connection is dead.
    get pipelines() {
      return server() !== undefined
    },
    send: (text, values, rowMode, done, around) => {
      // In a transaction a stale statement cannot be sent again. One of the library becomes stale only when something deallocates it.
      const isOutside = client.getTransactionStatus() === "I" && around === undefined
      const isSafe = isOutside || isDirect() && (isOwn(text) || isBrief(text))
      const named = isSafe && values.length > 0 && prepares()
      send(named ? prepared.nameOf(text) : undefined, text, values, rowMode, done, around)
    },
    portals: {
      isInTransaction: () => client.getTransactionStatus() !== "I",
      make: (text, values) => makePortal(pg, client, { name: `lastcall_${portals++}`, text, values, onError: fail })
    },
    backend: () => {
      const name = server()
      return name === undefined || internals.processID === null ? undefined : { pid: internals.processID, server: name }
    },
    traffic: () => {
      const { bytesRead = 0, writableLength } = internals.connection.stream as Duplex & { readonly bytesRead?: number }
      return { arrived: bytesRead, unsent: writableLength }
    },
    cancel: Effect.suspend(() => cancelStatement(pg, internals)),
    destroy: () => void internals.connection.stream.destroy(),
    giveBack: (usable) => {
      const status = client.getTransactionStatus()
      // A connection with an open transaction is closed, not leased again.
      client.release(!usable || status === "T" || status === "E")
    }
  }
}
