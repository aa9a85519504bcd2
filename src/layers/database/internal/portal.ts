/**
 * Portals of the extended protocol. `pg-cursor`, which `PgClient` uses, occupies the connection between two fetches, so the reader of a stream
 * waits for ever for a statement of its own transaction.
 */
import { Exit } from "effect"
import type * as PgTypes from "pg"
import type { Portal, QueryExit, QueryResult } from "./driverConnection.js"
import type { Pg } from "./peers.js"
import { type ProtocolConnection, queryClass } from "./queryClass.js"

/**
 * A portal of the extended protocol, as `pg-cursor` has it, but with a Sync after each fetch: other statements of the transaction can be
 * sent between two fetches. So it needs a transaction around it.
 */
export const makePortal = (
  pg: Pg,
  client: PgTypes.PoolClient,
  options: {
    readonly name: string
    readonly text: string
    readonly values: ReadonlyArray<unknown>
    readonly onError: (error: Error, done: (exit: QueryExit) => void) => void
  }
): Portal => {
  const { name, onError, text, values } = options

  class Fetch extends queryClass(pg) {
    handlePortalSuspended() {}
    handleEmptyQuery() {}
    override handleCommandComplete(message: unknown) {
      this._result.addCommandComplete(message)
    }
    override _getRows(connection: ProtocolConnection, rows: number) {
      connection.execute({ portal: this.portal, rows })
      connection.sync()
    }
  }
  class FetchMore extends Fetch {
    override submit(connection: ProtocolConnection) {
      connection.describe({ type: "P", name })
      this._getRows(connection, (this as unknown as { readonly rows: number }).rows)
      return null
    }
  }
  class Close extends Fetch {
    override submit(connection: ProtocolConnection) {
      connection.close({ type: "P", name })
      connection.sync()
      return null
    }
  }

  let isOpen = false
  const submit = (Kind: typeof Fetch, rows: number, done: (exit: QueryExit) => void) =>
    void client.query(
      new Kind({ text, values, rows, portal: name }, undefined, (error, result) =>
        error === null
          ? done(Exit.succeed(result as QueryResult))
          : onError(error, done)) as unknown as PgTypes.Submittable
    )
  return {
    fetch: (rows, done) => {
      const Kind = isOpen ? FetchMore : Fetch
      isOpen = true
      submit(Kind, rows, done)
    },
    close: (done) => submit(Close, 0, done)
  }
}
