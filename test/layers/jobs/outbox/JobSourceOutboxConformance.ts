import { Effect } from "effect"
import { jobSourceConformance } from "../../../conformance/jobSource.js"
import { newPrefix, type RedisPlace } from "../../../kit/redis.js"
import { source } from "../redis/JobSourceRedisWorld.js"
import type { Databases } from "../sql/JobSourceSqlWorld.js"
import { newTable, outbox, prompt } from "./JobSourceOutboxWorld.js"

/** With three systems to ask, and processes that share the machine, a claim may take a while. */
const lease = "1500 millis"

let tables = 0

/** Redis behind an outbox in the database does all that the database does. */
export const outboxConformance = (redis: RedisPlace, databases: Databases) =>
  jobSourceConformance("the outbox in front of Redis", {
    make: Effect.gen(function*() {
      const [first, second] = yield* databases
      const { sql } = first
      const lines = sql(`lines_${++tables}`)
      yield* sql`CREATE TABLE ${lines} (number serial, line text)`
      const prefix = newPrefix()
      const table = newTable()
      const engines = [yield* source(redis, { lease, prefix }), yield* source(redis, { lease, prefix })] as const
      const flushes: Array<Effect.Effect<void>> = []
      return {
        sources: [
          prompt(first, table, engines[0], yield* outbox(first, engines[0], { table }), flushes),
          prompt(second, table, engines[1], yield* outbox(second, engines[1], { table }), flushes)
        ],
        write: (line) => Effect.asVoid(sql`INSERT INTO ${lines} (line) VALUES (${line})`),
        written: Effect.map(
          sql<{ line: string }>`SELECT line FROM ${lines} ORDER BY number`,
          (rows) => rows.map(({ line }) => line)
        ),
        transaction: (effect) => Effect.zipLeft(sql.withTransaction(effect), Effect.all(flushes))
      }
    }),
    lease,
    passTime: Effect.sleep,
    live: true,
    transactional: true
  })
