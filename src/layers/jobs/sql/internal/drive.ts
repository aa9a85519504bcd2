import { Effect, Queue } from "effect"
import type { Db } from "pg-boss"
import type { Row } from "../../../database/contract.js"

/** Runs one text, of one statement or of several, and gives the rows of all of them. */
export type Execute<R = never> = (
  text: string,
  values?: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<Row>, unknown, R>

const again = Symbol.for("lastcall/jobSourceSql/again")

/**
 * Runs a piece of pg-boss on the calling fiber: pg-boss says which statements it wants, the fiber runs them.
 *
 * pg-boss is written with promises. Were its statements run by fibers of their own, they would neither join the
 * caller's transaction nor be interrupted with it. Here they are effects of the caller: same transaction, same
 * interruption, same spans. A caller that is interrupted leaves a promise that nobody settles, and nothing else: the
 * `db` it was given refuses whatever comes after the end.
 */
export const drive = <A, R>(
  execute: Execute<R>,
  call: (db: Db) => Promise<A>
): Effect.Effect<A, unknown, R> =>
  Effect.acquireUseRelease(
    // What is to be done next: a statement, after which there is more to come, or the end.
    Queue.unbounded<Effect.Effect<A | typeof again, unknown, R>>(),
    (steps) => {
      const db: Db = {
        executeSql: (text, values) =>
          new Promise((resolve, reject) => {
            const step = Effect.match(execute(text, values), {
              onFailure: reject,
              onSuccess: (rows) => resolve({ rows: [...rows] })
            })
            if (!steps.unsafeOffer(Effect.as(step, again))) reject(new Error("This call of pg-boss is over"))
          })
      }
      const run: Effect.Effect<A, unknown, R> = Queue.take(steps).pipe(
        Effect.flatten,
        Effect.flatMap((result) => result === again ? run : Effect.succeed(result))
      )
      return Effect.suspend(() => {
        call(db).then((value) => steps.unsafeOffer(Effect.succeed(value)), (error) =>
          steps.unsafeOffer(Effect.fail(error)))
        return run
      })
    },
    Queue.shutdown
  )
