import { SqlClient } from "@effect/sql"
import { Effect, type Layer } from "effect"
import { count, lookUp, serve } from "../program.js"

const repeat = <E>(times: number, operation: (id: number) => Effect.Effect<unknown, E>) =>
  Effect.gen(function*() {
    for (let n = 0; n < times; n++) yield* operation(n % 1000)
  })

/** The same program over either client. */
export const serveSqlClient = (client: Layer.Layer<SqlClient.SqlClient, unknown>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.promise(() =>
      serve({
        statement: (times) => Effect.runPromise(repeat(times, (id) => sql.unsafe(lookUp, [id]))),
        transaction: (times) =>
          Effect.runPromise(repeat(times, (id) => sql.withTransaction(sql.unsafe(count, [id]))))
      })
    )).pipe(Effect.provide(client), Effect.runPromise)
