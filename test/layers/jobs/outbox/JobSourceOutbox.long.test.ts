import { SqlClient } from "@effect/sql"
import { Effect, Option, Schedule, type Scope } from "effect"
import type { JobQueue, JobSourceError, QueueOptions, Service } from "../../../../src/layers/jobs/JobSource.js"
import { jobSourceConformance } from "../../../conformance/jobSource.js"
import type { Opened } from "../../../kit/database.js"
import { describeRedis, newPrefix, type RedisPlace } from "../../../kit/redis.js"
import { source } from "../redis/JobSourceRedisWorld.js"
import { type Databases, describeEngines } from "../sql/JobSourceSqlWorld.js"
import { newTable, outbox } from "./JobSourceOutboxWorld.js"

/** Completes when the engine holds these jobs of the outbox, or all of them. */
const delivered = (
  sql: SqlClient.SqlClient,
  table: string,
  queue: string,
  engine: JobQueue,
  ids?: ReadonlyArray<string>
) =>
  sql<{ id: string }>`SELECT id FROM ${sql(table)} WHERE queue = ${queue} AND state NOT IN ('Dead', 'Done')`.pipe(
    Effect.map((rows) => ids === undefined ? rows : rows.filter(({ id }) => ids.includes(id))),
    Effect.flatMap(Effect.forEach(({ id }) => engine.find(id))),
    Effect.repeat({ until: (found) => found.every(Option.isSome), schedule: Schedule.spaced("2 millis") }),
    Effect.asVoid,
    Effect.orDie
  )

/** A source whose offers complete when they have reached the engine, except in a transaction. */
const waitingForRelay = (
  { sql }: Opened,
  table: string,
  engine: Service,
  source: Service,
  flushes: Array<Effect.Effect<void>>
): Service => ({
  ...source,
  open: (options: QueueOptions): Effect.Effect<JobQueue, JobSourceError, Scope.Scope> =>
    Effect.gen(function*() {
      const engineQueue = yield* engine.open(options)
      const flush = (ids?: ReadonlyArray<string>) => delivered(sql, table, options.name, engineQueue, ids)
      flushes.push(flush())
      const unlessInTransaction = (ids: ReadonlyArray<string>) =>
        Effect.flatMap(
          Effect.serviceOption(SqlClient.TransactionConnection),
          (transaction) => Option.isSome(transaction) ? Effect.void : flush(ids)
        )
      const queue = yield* source.open(options)
      return {
        ...queue,
        offer: (payloads, options) =>
          Effect.tap(
            queue.offer(payloads, options),
            (ids) => options?.delay === undefined ? unlessInTransaction(ids) : Effect.void
          ),
        deadLetters: {
          ...queue.deadLetters,
          redrive: (ids, options) => Effect.zipLeft(queue.deadLetters.redrive(ids, options), unlessInTransaction(ids))
        }
      }
    })
})

/** Longer than elsewhere: a claim takes three systems, on a machine that is shared. */
const lease = "1500 millis"

let tables = 0

const outboxConformance = (redis: RedisPlace, databases: Databases) =>
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
          waitingForRelay(first, table, engines[0], yield* outbox(first, engines[0], { table }), flushes),
          waitingForRelay(second, table, engines[1], yield* outbox(second, engines[1], { table }), flushes)
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

describeRedis(
  "Redis",
  (redis) => describeEngines("JobSourceOutbox", (databases) => outboxConformance(redis, databases))
)
