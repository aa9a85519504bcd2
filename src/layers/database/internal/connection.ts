/**
 * A connection while it is leased: it cancels one statement of its queue alone, and its lease can be revoked. `pg` cancels nothing; `PgClient`
 * cancels over another connection of the same pool, which may be full, and cannot end a lease: see sql-pg-cancel and sql-pg-release in
 * docs/upstream.
 */
import type { SqlError } from "@effect/sql"
import { Effect, Exit, Option } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import type { Errors } from "./errors.js"
import { type Patience, patienceOf } from "./patience.js"

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

/** A connection of the driver. Takes one statement at a time. */
export interface DriverConnection {
  /** `done` is called once: when the connection is ready for the next statement, or lost. */
  readonly send: (
    text: string,
    values: ReadonlyArray<unknown>,
    rowMode: RowMode,
    done: (exit: QueryExit) => void
  ) => void
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

/** How long a server may take over a cancelled statement, a `ROLLBACK` or a `COMMIT`; normally they take milliseconds. */
const answerTimeout = "3 seconds"

/** A statement that was given to a connection. */
export class Statement {
  exit: QueryExit | undefined
  isCancelled = false
  /** How often `destroyIfSilent` has found it in flight since something arrived. */
  sightings = 0
  /** How often in a row the server has said that it does not work on it. */
  denials = 0
  private arrived = 0
  private waiters: Array<() => void> | undefined

  constructor(
    readonly text: string,
    readonly send: (driver: DriverConnection, done: (exit: QueryExit) => void) => void,
    /** Not called after a cancellation. */
    private readonly onExit?: (exit: QueryExit) => void
  ) {}

  end(exit: QueryExit) {
    this.exit = exit
    if (!this.isCancelled) this.onExit?.(exit)
    this.waiters?.forEach((waiter) => waiter())
  }

  /** Counts one more look at it, while nothing arrives. Returns how many there were. */
  sight(arrived: number): number {
    if (this.sightings > 0 && this.arrived !== arrived) this.isWorkedOn()
    this.arrived = arrived
    return ++this.sightings
  }

  /** The server works on it: it is not silent. */
  isWorkedOn() {
    this.sightings = 0
    this.denials = 0
  }

  /** Completes with the answer. */
  get ended(): Effect.Effect<void> {
    return Effect.async((resume) => {
      if (this.exit !== undefined) resume(Effect.void)
      else (this.waiters ??= []).push(() => resume(Effect.void))
    })
  }
}

export const statementOf = (
  text: string,
  values: ReadonlyArray<unknown>,
  rowMode: RowMode,
  onExit?: (exit: QueryExit) => void
) => new Statement(text, (driver, done) => driver.send(text, values, rowMode, done), onExit)

/** A connection while it is leased. Sends one statement at a time; those that are submitted meanwhile wait in its queue. */
export class Connection {
  /** Why it can be used no longer. */
  private closedBy: (() => SqlError.SqlError) | undefined
  private current: Statement | undefined
  private readonly queue: Array<Statement> = []
  constructor(private readonly driver: DriverConnection, private readonly errors: Errors) {}

  /** Whether the connection can be leased again. */
  get usable() {
    return this.closedBy === undefined
  }

  /** Only where the driver has portals. */
  get isInTransaction() {
    return this.driver.portals!.isInTransaction()
  }

  /** Sends a statement when the ones before it are answered. */
  submit(statement: Statement) {
    if (this.current !== undefined) this.queue.push(statement)
    else this.start(statement)
  }

  private start(statement: Statement) {
    if (this.closedBy !== undefined) return statement.end(Exit.fail(this.closedBy()))
    this.current = statement
    statement.send(this.driver, (exit) => {
      // The next statement waits for the request to cancel this one, which would hit it.
      if (!statement.isCancelled) this.current = undefined
      statement.end(exit)
      this.next()
    })
  }

  private next() {
    while (this.current === undefined && this.queue.length > 0) this.start(this.queue.shift()!)
  }

  private orDestroy<A, E>(work: Effect.Effect<A, E>): Effect.Effect<void> {
    return Effect.map(bounded({ within: answerTimeout })(work), (exit) => {
      if (Option.isNone(exit) || Exit.isFailure(exit.value)) this.destroy()
    })
  }

  /** Closes the socket: the statement in flight fails, and so does every later one. */
  destroy() {
    this.closedBy ??= this.errors.lost
    this.driver.destroy()
  }

  get backend() {
    return this.driver.backend?.()
  }

  /** The statement in flight, if it was found so often since something arrived, and has been sent. */
  silentFor(sightings: number): Statement | undefined {
    const { current } = this
    if (current === undefined || current.sightings < sightings) return undefined
    return this.driver.traffic?.().unsent === 0 ? current : undefined
  }

  /** Destroys the connection when this method has found the statement in flight unanswered too often. Returns whether it has. */
  destroyIfSilent(patience: Patience): boolean {
    const { current } = this
    if (current === undefined) return false
    const sightings = current.sight(this.driver.traffic?.().arrived ?? 0)
    if (sightings <= patienceOf(current.text, patience)) return false
    this.destroy()
    return true
  }

  /**
   * Takes a statement out of the queue, or cancels it in the server and waits for the answer, so that the connection can be reused;
   * without an answer in time the connection is destroyed.
   */
  cancel(statement: Statement): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (statement.exit !== undefined) return Effect.void
      statement.isCancelled = true
      const place = this.queue.indexOf(statement)
      if (place >= 0) {
        this.queue.splice(place, 1)
        return Effect.void
      }
      return Effect.ensuring(
        this.orDestroy(Effect.zipRight(this.driver.cancel, statement.ended)),
        Effect.sync(() => {
          this.current = undefined
          this.next()
        })
      )
    })
  }

  /** Waits for a statement. Interruption cancels it. */
  run(make: (onExit: (exit: QueryExit) => void) => Statement): Effect.Effect<QueryResult, SqlError.SqlError> {
    return Effect.async((resume) => {
      const statement = make(resume)
      this.submit(statement)
      return this.cancel(statement)
    })
  }

  /** Sends a statement. Interruption cancels it. */
  query(...[text, values, rowMode]: Parameters<Query>): ReturnType<Query> {
    return this.run((onExit) => statementOf(text, values, rowMode, onExit))
  }

  /** Only where the driver has portals. */
  portal(text: string, values: ReadonlyArray<unknown>) {
    const portal = this.driver.portals!.make(text, values)
    return {
      fetch: (rows: number) => this.run((onExit) => new Statement(text, (_, done) => portal.fetch(rows, done), onExit)),
      close: this.run((onExit) => new Statement("CLOSE", (_, done) => portal.close(done), onExit))
    }
  }

  /**
   * Sends a statement whose outcome must be known, `COMMIT`. Interruption does not cancel it: the outcome is awaited all the same,
   * or the connection is destroyed when there is none in time.
   */
  commit(text: string): Effect.Effect<QueryResult, SqlError.SqlError> {
    return Effect.suspend(() => {
      const statement = statementOf(text, [], "object")
      this.submit(statement)
      const exit = Effect.suspend(() => statement.exit ?? Effect.fail(this.errors.lost()))
      return Effect.flatMap(
        Effect.exit(Effect.interruptible(statement.ended)),
        () => statement.exit ?? Effect.zipRight(this.orDestroy(statement.ended), exit)
      )
    })
  }

  /** Rolls back the open transaction, or destroys the connection when that fails or takes too long. Never fails. */
  get rollback(): Effect.Effect<void> {
    return this.orDestroy(this.commit("ROLLBACK"))
  }

  /**
   * Ends the lease from outside: cancels the statement in flight and rolls back the open transaction. Every later statement
   * of the holder, `COMMIT` included, fails with this error before it reaches the server.
   */
  revoke(error: () => SqlError.SqlError): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.closedBy = error
      const last = this.current
      const rollback = Effect.async<QueryResult, SqlError.SqlError>((resume) =>
        this.driver.send("ROLLBACK", [], "object", resume)
      )
      return this.orDestroy(
        last === undefined || last.exit !== undefined
          ? rollback
          : Effect.zipRight(Effect.zipRight(this.driver.cancel, last.ended), rollback)
      )
    })
  }
}
