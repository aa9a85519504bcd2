import { Data, Effect, Exit, Option } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import { makePermits } from "./permits.js"

/** The result of one statement. */
interface StatementResult {
  readonly rows: ReadonlyArray<unknown>
  readonly command?: string | undefined
}

/** One result for one statement, an array of results for a text of several. */
export type QueryResult = StatementResult | Array<StatementResult>

type RowMode = "object" | "array"

/** A statement or a connection failed. `sqlClient.ts` makes it the `SqlError` of `@effect/sql`. */
export class ConnectionError extends Data.TaggedError("ConnectionError")<{
  readonly message: string
  readonly cause: unknown
}> {}

/** A connection of the driver. Takes one statement at a time. */
export interface DriverConnection {
  readonly send: (text: string, values: ReadonlyArray<unknown>, rowMode: RowMode) => Promise<QueryResult>
  /**
   * The statement to send after an error, before the connection is leased again, because a text of several statements may have
   * left a transaction open. `ROLLBACK` ends it. An empty text is enough where its result updates the driver's transaction state.
   */
  readonly afterError: "" | "ROLLBACK"
  /** Asks the server to cancel the statement in flight. Completes when the request has been sent; never fails. */
  readonly cancel: Effect.Effect<void>
  /** Closes the socket at once, without notice to the server. */
  readonly destroy: () => void
  /** Returns the connection to the driver's pool, which keeps it if it is usable and closes it otherwise. */
  readonly giveBack: (usable: boolean) => Effect.Effect<void>
}

/** A connection while it is leased. */
export interface Connection {
  /**
   * Sends a statement when the ones before it are answered. Interruption cancels the statement in the server and waits for the
   * answer, so that the connection can be reused; without an answer in time the connection is destroyed.
   */
  readonly query: (
    text: string,
    values?: ReadonlyArray<unknown>,
    rowMode?: RowMode
  ) => Effect.Effect<QueryResult, ConnectionError>
  /**
   * Sends a statement whose outcome must be known, `COMMIT`. Interruption does not cancel it: the outcome is awaited all the same,
   * or the connection is destroyed when there is none in time.
   */
  readonly commit: (text: string) => Effect.Effect<QueryResult, ConnectionError>
  /** Rolls back the open transaction, or destroys the connection when that fails or takes too long. Never fails. */
  readonly rollback: Effect.Effect<void>
  /**
   * Ends the lease from outside: cancels the statement in flight and rolls back the open transaction. Every later statement
   * of the holder, `COMMIT` included, fails with this error before it reaches the server.
   */
  readonly revoke: (error: () => ConnectionError) => Effect.Effect<void>
  /** Whether the connection can be leased again. Never fails. */
  readonly usable: Effect.Effect<boolean>
}

/** How long a server may take over a cancelled statement, a `ROLLBACK` or a `COMMIT`; normally they take milliseconds. */
const answerTimeout = "3 seconds"

/** The message of an error of the driver. One that failed to connect to several addresses has no message of its own. */
export const driverMessage = (error: unknown): string => {
  if (error instanceof AggregateError) return error.errors.map(driverMessage).join(", ")
  return error instanceof Error ? error.message : String(error)
}

export const connectionError = (message: string, cause: unknown) => new ConnectionError({ message, cause })

export const releasedError = () =>
  connectionError("The database is being released", new Error("No statement is accepted any more"))

export const abandonedError = () =>
  connectionError("The connection was taken from its holder", new Error("Its work was abandoned"))

const lostError = () => connectionError("The connection was lost", new Error("Connection destroyed"))

const resultOf = (sent: Promise<QueryResult>): Effect.Effect<QueryResult, ConnectionError> =>
  Effect.tryPromise({
    try: () => sent,
    catch: (cause) => connectionError(`Failed to execute statement: ${driverMessage(cause)}`, cause)
  })

/** Waits for a promise to resolve or to reject. */
const settled = (promise: Promise<unknown>): Effect.Effect<void> =>
  Effect.promise(() => promise.then(() => undefined, () => undefined))

export const makeConnection = (driver: DriverConnection): Connection => {
  const permit = makePermits<ConnectionError>(1, releasedError)
  let state: "open" | "broken" | "revoked" = "open"
  let stateError = lostError
  let inFlight: Promise<unknown> | undefined
  let failed = false

  const destroy = Effect.sync(() => {
    if (state === "open") state = "broken"
    driver.destroy()
  })

  const orDestroy = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<void> =>
    Effect.flatMap(
      bounded({ within: answerTimeout })(work),
      (exit) => Option.isSome(exit) && Exit.isSuccess(exit.value) ? Effect.void : destroy
    )

  const send = (text: string, values: ReadonlyArray<unknown>, rowMode: RowMode) => {
    const sent = driver.send(text, values, rowMode)
    inFlight = sent
    const done = (error: boolean) => () => {
      failed = error
      if (inFlight === sent) inFlight = undefined
    }
    sent.then(done(false), done(true))
    return sent
  }

  type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

  /** Sends a statement once the permit is free, and holds the permit until `awaitResult` has ended. */
  const exchange = (
    awaitResult: (sent: Promise<QueryResult>, restore: Restore) => Effect.Effect<QueryResult, ConnectionError>
  ) =>
  (text: string, values: ReadonlyArray<unknown> = [], rowMode: RowMode = "object") =>
    Effect.uninterruptibleMask((restore) =>
      Effect.scoped(Effect.zipRight(
        restore(permit.acquire),
        Effect.suspend(() =>
          state === "open"
            ? awaitResult(send(text, values, rowMode), restore)
            : Effect.fail(stateError())
        )
      ))
    )

  const query = exchange((sent, restore) =>
    Effect.onInterrupt(
      restore(resultOf(sent)),
      () =>
        Effect.suspend(() => inFlight === sent ? orDestroy(Effect.zipRight(driver.cancel, settled(sent))) : Effect.void)
    )
  )

  const commit = exchange((sent) =>
    Effect.flatMap(
      Effect.exit(Effect.interruptible(resultOf(sent))),
      (exit) => Exit.isInterrupted(exit) ? Effect.zipRight(orDestroy(settled(sent)), resultOf(sent)) : exit
    )
  )

  const uninterruptible = exchange(resultOf)

  return {
    query,
    commit: (text) => commit(text),
    rollback: orDestroy(uninterruptible("ROLLBACK")),
    revoke: (error) =>
      Effect.suspend(() => {
        state = "revoked"
        stateError = error
        const last = inFlight
        return orDestroy(Effect.gen(function*() {
          if (last !== undefined) yield* Effect.zipRight(driver.cancel, settled(last))
          yield* resultOf(send("ROLLBACK", [], "object"))
        }))
      }),
    usable: Effect.map(
      Effect.suspend(() => state === "open" && failed ? orDestroy(uninterruptible(driver.afterError)) : Effect.void),
      () => state === "open"
    )
  }
}
