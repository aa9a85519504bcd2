import { SqlError } from "@effect/sql"
import { Effect, Exit, Option } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import { makeSlots } from "./slots.js"

/** What a driver answers to one statement. */
export interface Result {
  readonly rows: ReadonlyArray<unknown>
  readonly command?: string | undefined
}

/** One result for one statement, an array of results for a text of several. */
export type Answer = Result | Array<Result>

export type RowMode = "object" | "array"

/** A driver's connection, bare. One statement at a time. */
export interface Wire {
  readonly send: (text: string, values: ReadonlyArray<unknown>, rowMode: RowMode) => Promise<Answer>
  /**
   * What to send after an error, before somebody else is given the connection: a text of several statements may have left
   * a transaction open. Nothing, where the answer to that makes the driver know; or else what ends it.
   */
  readonly afterError: "" | "ROLLBACK"
  /** Asks the server to give up the statement in flight. Completes when it has been asked; never fails. */
  readonly cancel: Effect.Effect<void>
  /** Lets go of the connection at once, without a word to the server. */
  readonly destroy: () => void
  /** Gives it back, to be used again or thrown away. */
  readonly checkIn: (usable: boolean) => Effect.Effect<void>
}

/** A connection that somebody holds. */
export interface Session {
  /**
   * Sends a statement when its turn comes. Interrupting cancels it in the server and waits for the answer, so that the
   * connection can be used on; when none comes in time, the connection is destroyed.
   */
  readonly query: (
    text: string,
    values?: ReadonlyArray<unknown>,
    rowMode?: RowMode
  ) => Effect.Effect<Answer, SqlError.SqlError>
  /**
   * The same for a statement whose outcome must be known, `COMMIT`: it is not interrupted. A caller who is gets the
   * outcome all the same, or the connection is destroyed when there is none in time.
   */
  readonly settle: (text: string) => Effect.Effect<Answer, SqlError.SqlError>
  /** Rolls back what is open, or destroys the connection when that fails or takes too long. Never fails. */
  readonly rollback: Effect.Effect<void>
  /**
   * Takes the connection away from its holder: cancels what is in flight, rolls back what is open. Whatever the holder
   * sends from now on, a `COMMIT` too, is refused before it reaches the server.
   */
  readonly revoke: Effect.Effect<void>
  /** Whether the connection can be given to somebody else. Never fails. */
  readonly usable: Effect.Effect<boolean>
}

/** How long a server may take over a cancelled statement, a `ROLLBACK` or a `COMMIT`: milliseconds, or it is gone. */
const patience = "3 seconds"

/** What went wrong, in words: the error for "nobody listens on any of its addresses" has none of its own. */
export const reasonOf = (error: unknown): string => {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(", ")
  return error instanceof Error ? error.message : String(error)
}

export const sqlError = (message: string, cause: unknown) => new SqlError.SqlError({ message, cause })

export const released = () => sqlError("The database is being released", new Error("No statement is accepted any more"))

const lost = () => sqlError("The connection was lost", new Error("Connection destroyed"))

const answer = (sent: Promise<Answer>): Effect.Effect<Answer, SqlError.SqlError> =>
  Effect.tryPromise({
    try: () => sent,
    catch: (cause) => sqlError(`Failed to execute statement: ${reasonOf(cause)}`, cause)
  })

/** Waits for a promise, whatever becomes of it. */
const settled = (promise: Promise<unknown>): Effect.Effect<void> =>
  Effect.promise(() => promise.then(() => undefined, () => undefined))

export const makeSession = (wire: Wire): Session => {
  const turn = makeSlots<SqlError.SqlError>(1, released)
  let state: "open" | "broken" | "revoked" = "open"
  let inFlight: Promise<unknown> | undefined
  let failed = false

  const destroy = Effect.sync(() => {
    if (state === "open") state = "broken"
    wire.destroy()
  })

  const orDestroy = <A, E>(work: Effect.Effect<A, E>): Effect.Effect<void> =>
    Effect.flatMap(
      bounded({ within: patience })(work),
      (exit) => Option.isSome(exit) && Exit.isSuccess(exit.value) ? Effect.void : destroy
    )

  const send = (text: string, values: ReadonlyArray<unknown>, rowMode: RowMode) => {
    const sent = wire.send(text, values, rowMode)
    inFlight = sent
    const done = (error: boolean) => () => {
      failed = error
      if (inFlight === sent) inFlight = undefined
    }
    sent.then(done(false), done(true))
    return sent
  }

  type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

  /** Waits for its turn, sends, and lets `wait` wait for the answer: nobody else sends before that has ended. */
  const exchange = (
    wait: (sent: Promise<Answer>, restore: Restore) => Effect.Effect<Answer, SqlError.SqlError>
  ) =>
  (text: string, values: ReadonlyArray<unknown> = [], rowMode: RowMode = "object") =>
    Effect.uninterruptibleMask((restore) =>
      Effect.scoped(Effect.zipRight(
        restore(turn.acquire),
        Effect.suspend(() =>
          state === "open"
            ? wait(send(text, values, rowMode), restore)
            : Effect.fail(state === "revoked" ? released() : lost())
        )
      ))
    )

  const query = exchange((sent, restore) =>
    Effect.onInterrupt(
      restore(answer(sent)),
      () =>
        Effect.suspend(() => inFlight === sent ? orDestroy(Effect.zipRight(wire.cancel, settled(sent))) : Effect.void)
    )
  )

  const settle = exchange((sent) =>
    Effect.flatMap(
      Effect.exit(Effect.interruptible(answer(sent))),
      (exit) => Exit.isInterrupted(exit) ? Effect.zipRight(orDestroy(settled(sent)), answer(sent)) : exit
    )
  )

  const ask = exchange(answer)

  const ready = Effect.suspend(() => state === "open" && failed ? orDestroy(ask(wire.afterError)) : Effect.void)

  return {
    query,
    settle: (text) => settle(text),
    rollback: orDestroy(ask("ROLLBACK")),
    revoke: Effect.suspend(() => {
      state = "revoked"
      const last = inFlight
      return orDestroy(Effect.gen(function*() {
        if (last !== undefined) yield* Effect.zipRight(wire.cancel, settled(last))
        yield* answer(send("ROLLBACK", [], "object"))
      }))
    }),
    usable: Effect.map(ready, () => state === "open")
  }
}
