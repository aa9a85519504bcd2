/** The class of queries of `pg`, for those that do something else with the protocol. */
import type { ClientInternals, Pg } from "./peers.js"

export type ProtocolConnection = ClientInternals["connection"]

/** What a query does when it is submitted and answered; the types of `pg` lack it. */
interface QueryInternals {
  readonly portal: string
  submit(connection: ProtocolConnection): Error | null
  prepare(connection: ProtocolConnection): void
  handleCommandComplete(message: unknown): void
  handleError(error: Error, connection: ProtocolConnection): void
  handleReadyForQuery(connection: ProtocolConnection): void
  _getRows(connection: ProtocolConnection, rows: number): void
  _result: { addCommandComplete(message: unknown): void }
}

/**
 * That of `pg`, except that a query ends once: where a value cannot be written (a `bigint` in JSON), `pg` reports the error, and then, when the server is ready again, that the
 * statement has succeeded.
 */
export const queryClass = (pg: Pg) =>
  class extends (pg.Query as unknown as new(
    config: object,
    values: undefined,
    done: (error: Error | null, result: unknown) => void
  ) => QueryInternals) {
    hasFailed = false

    override handleError(error: Error, connection: ProtocolConnection) {
      this.hasFailed = true
      super.handleError(error, connection)
    }
    override handleReadyForQuery(connection: ProtocolConnection) {
      if (!this.hasFailed) super.handleReadyForQuery(connection)
    }
  }
