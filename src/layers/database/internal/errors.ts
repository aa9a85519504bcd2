/**
 * The errors of statements and connections. `PgClient` says `Failed to execute statement` for all of them; here the message ends with that of
 * the server, so that a log of the message says what happened.
 */
import type { SqlError } from "@effect/sql"
import { Duration } from "effect"

/** The message of an error of the driver. One that failed to connect to several addresses has no message of its own. */
export const driverMessage = (error: unknown): string => {
  if (error instanceof AggregateError) return error.errors.map(driverMessage).join(", ")
  return error instanceof Error ? error.message : String(error)
}

/** Makes the errors of statements and connections. The class comes from an optional peer. */
export const makeErrors = (sql: { readonly SqlError: Pick<typeof SqlError, "SqlError"> }) => {
  const make = (message: string, cause: unknown) => new sql.SqlError.SqlError({ message, cause })
  return {
    make,
    failed: (cause: unknown) => make(`Failed to execute statement: ${driverMessage(cause)}`, cause),
    released: () => make("The database is being released", new Error("No statement is accepted any more")),
    abandoned: () => make("The connection was taken from its holder", new Error("Its work was abandoned")),
    lost: () => make("The connection was lost", new Error("Connection destroyed")),
    timedOut: (timeout: Duration.Duration) =>
      make(`The statement took longer than ${Duration.format(timeout)}`, new Error("The statement was cancelled")),
    deaf: () =>
      make(
        "LISTEN hears nothing behind this pooler, which gives each transaction any connection (transaction pooling): " +
          "use session pooling, or connect to the server itself",
        new Error("A notification of another connection did not arrive")
      ),
    ownWait: () =>
      make(
        "The embedded database has one connection, and this fiber, or the one that forked it, holds it",
        new Error("Run the statement on the connection that is held, or in its transaction")
      ),
    notCommitted: () =>
      make(
        "The transaction was rolled back, not committed",
        new Error("One of its statements had failed, and the error was caught inside the transaction")
      )
  }
}

export type Errors = ReturnType<typeof makeErrors>
