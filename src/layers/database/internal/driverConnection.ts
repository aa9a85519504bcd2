/** What a driver does for a leased connection: `pg`, PGlite, and those of tests. */
import type { SqlError } from "@effect/sql"
import type { Effect, Exit } from "effect"

/** The result of one statement. */
interface StatementResult {
  readonly rows: ReadonlyArray<unknown>
  readonly command?: string | undefined
}

/** One result for one statement, an array of results for a text of several. */
export type QueryResult = StatementResult | Array<StatementResult>

export type RowMode = "object" | "array"

export type QueryExit = Exit.Exit<QueryResult, SqlError.SqlError>

/** Sends one statement, or a text of several without values. */
export type Query = (
  text: string,
  values: ReadonlyArray<unknown>,
  rowMode: RowMode
) => Effect.Effect<QueryResult, SqlError.SqlError>

/** The rows of one statement, fetched in parts. Exists until the end of the transaction in which it was made. */
export interface Portal {
  /** Fetches some of the rows that are left: all of them when it is fewer than asked for. The first call runs the statement. */
  readonly fetch: (rows: number, done: (exit: QueryExit) => void) => void
  readonly close: (done: (exit: QueryExit) => void) => void
}

/** The process of the server that a connection belongs to. */
export interface Backend {
  readonly pid: number
  /** See `whichServer`. */
  readonly server: string
}

/**
 * The `plan_cache_mode` of a session. A prepared statement is planned for its values each time, as every other is: a plan made once stays what it was for the table of
 * then, which for a queue is often an empty one.
 */
export const planCacheMode = "force_custom_plan"

/** Statements without values and rows that are sent in one message with another one, whose result is given. One that fails is the last. */
export interface Around {
  readonly before: ReadonlyArray<string>
  readonly after: ReadonlyArray<string>
}

/**
 * Around an `Ending`, which is planned once in a connection, because to plan it takes several times as long as to run it: as if its tables were big, because they may be
 * later. The commit, with its deferred triggers, has the settings of the session again.
 */
export const committing: Around = {
  before: ["SET LOCAL plan_cache_mode = force_generic_plan", "SET LOCAL enable_seqscan = off"],
  after: [`SET LOCAL plan_cache_mode = ${planCacheMode}`, "SET LOCAL enable_seqscan TO DEFAULT", "COMMIT"]
}

/** A connection of the driver. Takes one statement at a time. */
export interface DriverConnection {
  /** `done` is called once: when the connection is ready for the next statement, or lost. */
  readonly send: (
    text: string,
    values: ReadonlyArray<unknown>,
    rowMode: RowMode,
    done: (exit: QueryExit) => void,
    around?: Around
  ) => void
  /** Whether it sends other statements in one message with one that has values (`around`), which saves their round trips. Known once the server is. */
  readonly pipelines?: boolean
  /** Missing where the driver has none. */
  readonly portals?: {
    /** Whether a transaction is open, after the last answer. */
    readonly isInTransaction: () => boolean
    readonly make: (text: string, values: ReadonlyArray<unknown>) => Portal
  }
  /** Missing where the server cannot be asked what it does: there is none, or a pooler is in between. */
  readonly backend?: () => Backend | undefined
  /** The bytes that have arrived, and those that wait to be sent. Missing where there is no network. */
  readonly traffic?: () => { readonly arrived: number; readonly unsent: number }
  /** Asks the server to cancel the statement in flight. Completes when the request has been sent; never fails. */
  readonly cancel: Effect.Effect<void>
  /** Closes the socket at once, without notice to the server. */
  readonly destroy: () => void
  /** Returns the connection to the driver's pool, which keeps it if it is usable and in no transaction, and closes it otherwise. */
  readonly giveBack: (usable: boolean) => void
}

/**
 * A statement that is sent with the commit. Its result is given when it is committed. It finds its rows by a primary key: its plan must be good for every table, see
 * `committing`.
 */
export interface Ending {
  readonly text: string
  /** At least one. */
  readonly values: ReadonlyArray<unknown>
  readonly onResult: (result: QueryResult) => void
}
