/**
 * Statements that are sent in one message: the extended protocol runs them in order until its Sync, and none after one that fails. `pg` waits for the answer to each
 * statement before it sends the next one, or in its pipeline mode sends all of a connection so, which then has no portals. And it writes each part of a statement
 * by itself.
 */
import type { Around } from "./driverConnection.js"
import type { Pg } from "./peers.js"
import { type ProtocolConnection, queryClass } from "./queryClass.js"

/** Sends a statement without values, of whose answer only an error is read. */
const sendBare = (connection: ProtocolConnection, text: string) => {
  connection.parse({ text })
  connection.bind({})
  connection.execute({ portal: "", rows: 0 })
}

/** The same connection, except that what is sent is collected. */
const collecting = (connection: ProtocolConnection, chunks: Array<Buffer>): ProtocolConnection =>
  Object.create(connection, {
    stream: { value: { writable: true, write: (chunk: Buffer) => chunks.push(chunk) } }
  }) as ProtocolConnection

/** A class of queries that write all they send at once: statements before and after theirs too, if they have `around`. */
export const pipelinedQuery = (pg: Pg) =>
  class extends queryClass(pg) {
    around: Around | undefined
    completed = 0

    override submit(connection: ProtocolConnection) {
      const chunks: Array<Buffer> = []
      const error = super.submit(collecting(connection, chunks))
      if (chunks.length > 0 && connection.stream.writable) connection.stream.write(Buffer.concat(chunks))
      return error
    }
    override prepare(connection: ProtocolConnection) {
      this.around?.before.forEach((text) => sendBare(connection, text))
      super.prepare(connection)
    }
    override _getRows(connection: ProtocolConnection) {
      connection.execute({ portal: this.portal, rows: 0 })
      this.around?.after.forEach((text) => sendBare(connection, text))
      connection.sync()
    }
    override handleCommandComplete(message: unknown) {
      if (this.completed++ === (this.around?.before.length ?? 0)) this._result.addCommandComplete(message)
    }
  }

export type PipelinedQueryClass = ReturnType<typeof pipelinedQuery>
