/**
 * A connection while it is leased: it cancels one statement of its queue alone, and its lease can be revoked. `pg` cancels nothing; `PgClient`
 * cancels over another connection of the same pool, which may be full, and cannot end a lease: see sql-pg-cancel and sql-pg-release in
 * docs/upstream.
 */
import type { SqlError } from "@effect/sql"
import { Effect, Exit, Option } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import {
  type Around,
  committing,
  type DriverConnection,
  type Ending,
  type Query,
  type QueryExit,
  type QueryResult
} from "./driverConnection.js"
import type { Errors } from "./errors.js"
import { type Patience, patienceOf } from "./patience.js"
import { Statement, statementOf } from "./statement.js"

/** How long a server may take over a cancelled statement, a `ROLLBACK` or a `COMMIT`; normally they take milliseconds. */
const answerTimeout = "3 seconds"

/** A connection while it is leased. Sends one statement at a time; those that are submitted meanwhile wait in its queue. */
export class Connection {
  /** Why it can be used no longer. */
  private closedBy: (() => SqlError.SqlError) | undefined
  private current: Statement | undefined
  private readonly queue: Array<Statement> = []
  /** Begins the transaction: sent with its first statement. */
  private opening: ReadonlyArray<string> = []
  private ending: Ending | undefined
  constructor(private readonly driver: DriverConnection, private readonly errors: Errors) {}

  /** Whether the connection can be leased again. */
  get usable() {
    return this.closedBy === undefined
  }

  /** Only where the driver has portals. */
  get isInTransaction() {
    return this.opening.length > 0 || this.driver.portals!.isInTransaction()
  }

  /**
   * Begins a transaction: with its first statement where the driver pipelines, so that it costs no round trip. One without statements is none
   * then. The effect is run at once.
   */
  begin(statements: ReadonlyArray<string>): Effect.Effect<unknown, SqlError.SqlError> {
    if (this.driver.pipelines !== true) return this.query(statements.join("; "), [], "object")
    this.opening = statements
    return Effect.void
  }

  /** Sends a statement when the ones before it are answered. */
  submit(statement: Statement) {
    if (this.current !== undefined) this.queue.push(statement)
    else this.start(statement)
  }

  private start(statement: Statement) {
    if (this.closedBy !== undefined) return statement.end(Exit.fail(this.closedBy()))
    this.current = statement
    const done = (exit: QueryExit) => {
      // The next statement waits for the request to cancel this one, which would hit it.
      if (!statement.isCancelled) this.current = undefined
      statement.end(exit)
      this.next()
    }
    const { opening } = this
    this.opening = []
    if (opening.length === 0 || statement.takesOthers) return statement.send(this.driver, done, opening)
    this.driver.send(opening.join("; "), [], "object", (exit) => {
      if (Exit.isFailure(exit)) return done(exit)
      // It has not been sent, and will not be: a request to cancel it has gone to the server already.
      if (this.closedBy !== undefined) return done(Exit.fail(this.closedBy()))
      if (statement.isCancelled) return done(Exit.fail(this.errors.lost()))
      statement.send(this.driver, done, [])
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

  /** Has the commit run this statement before it, in one message where the driver pipelines. A statement that fails is not committed. */
  endWith(ending: Ending) {
    this.ending = ending
  }

  /** Commits the open transaction. A transaction without statements was not begun, and there is nothing to commit. */
  commit(): Effect.Effect<QueryResult, SqlError.SqlError> {
    return Effect.suspend(() => {
      const { ending } = this
      this.ending = undefined
      if (ending === undefined) {
        return this.forgetsOpening() ? Effect.succeed<QueryResult>({ rows: [] }) : this.conclude("COMMIT", [])
      }
      const { onResult, text, values } = ending
      const result = this.driver.pipelines === true
        ? this.conclude(text, values, committing)
        : Effect.zipLeft(this.query(text, values, "object"), this.conclude("COMMIT", []))
      return Effect.map(result, (result) => {
        onResult(result)
        return result
      })
    })
  }

  /** Rolls back the open transaction, or destroys the connection when that fails or takes too long. Never fails. */
  get rollback(): Effect.Effect<void> {
    return Effect.suspend(() => this.forgetsOpening() ? Effect.void : this.orDestroy(this.conclude("ROLLBACK", [])))
  }

  /** Whether a transaction was to be begun and had no statement. */
  private forgetsOpening() {
    const isUnbegun = this.opening.length > 0 && this.closedBy === undefined
    this.opening = []
    return isUnbegun
  }

  /**
   * Sends a statement whose outcome must be known. Interruption does not cancel it: the outcome is awaited all the same,
   * or the connection is destroyed when there is none in time.
   */
  private conclude(
    text: string,
    values: ReadonlyArray<unknown>,
    around?: Around
  ): Effect.Effect<QueryResult, SqlError.SqlError> {
    return Effect.suspend(() => {
      const statement = statementOf(text, values, "object", undefined, around)
      this.submit(statement)
      const exit = Effect.suspend(() => statement.exit ?? Effect.fail(this.errors.lost()))
      return Effect.flatMap(
        Effect.exit(Effect.interruptible(statement.ended)),
        () => statement.exit ?? Effect.zipRight(this.orDestroy(statement.ended), exit)
      )
    })
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
