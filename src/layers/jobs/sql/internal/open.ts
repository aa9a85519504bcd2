import type { SqlClient } from "@effect/sql"
import { Effect, Predicate, Schedule } from "effect"
import type { PgBoss } from "pg-boss"
import { execute, TransactionTag } from "../../../database/contract.js"
import { causeOf } from "../../../database/contract.js"
import { drive, type Execute } from "./drive.js"

/** Somebody else made the same thing at the same moment: unique_violation, duplicate_schema, duplicate_table, deadlock. */
const isRace = (error: unknown): boolean =>
  Predicate.hasProperty(error, "code") && ["23505", "42P06", "42P07", "40P01"].includes(String(error.code))

/** By then the other one has finished, or there is more to it than a race. */
const afterRace = Schedule.intersect(Schedule.jittered(Schedule.exponential("50 millis")), Schedule.recurs(6))

/**
 * A pg-boss for one queue, which it makes where it is missing, the schema too. Several processes may do it at a time:
 * pg-boss locks while it does, but a session that waited for that lock does not see yet that the schema is there, and
 * fails in spite of `IF NOT EXISTS`. The next try sees it.
 *
 * Nothing of it runs by itself: no supervisor, no schedules, no workers, and a clock whose timers never fire. It is
 * the schema, the statements and their fences; what is to be done when is for our own fibers to say.
 */
export const open = (options: {
  readonly PgBoss: typeof PgBoss
  readonly sql: SqlClient.SqlClient
  readonly schema: string
  readonly queue: string
}): Effect.Effect<PgBoss, unknown> =>
  Effect.gen(function*() {
    const { PgBoss, queue, schema, sql } = options
    const clock = yield* Effect.clock
    // Texts with their own BEGIN and COMMIT must stay on one connection, and leave it clean when they fail half way.
    const connection = yield* Effect.uninterruptible(sql.reserve)
    const run: Execute = (text, values) =>
      execute(sql, text, values).pipe(
        Effect.mapError(causeOf),
        Effect.onError(() => Effect.ignore(execute(sql, "ROLLBACK"))),
        Effect.provideService(TransactionTag, [connection, 0])
      )

    return yield* drive(run, async (db) => {
      const boss = new PgBoss({
        db,
        schema,
        supervise: false,
        schedule: false,
        registerInstance: false,
        clock: {
          now: () => clock.unsafeCurrentTimeMillis(),
          setTimeout: () => undefined,
          setInterval: () => undefined,
          clearTimeout: () => undefined,
          clearInterval: () => undefined
        }
      })
      // An emitter without a listener throws its errors at the process.
      boss.on("error", () => undefined)
      await boss.start()
      // Policy standard: the others have unique indexes, which a hand-back may violate.
      await boss.createQueue(queue, { policy: "standard" })
      return boss
    })
  }).pipe(Effect.scoped, Effect.retry({ schedule: afterRace, while: isRace }))
