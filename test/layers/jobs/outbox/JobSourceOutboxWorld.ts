import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer, Option, Schedule, type Scope } from "effect"
import { Database } from "../../../../src/layers/database/Database.js"
import {
  type JobQueue,
  JobSource,
  type JobSourceError,
  type QueueOptions,
  type Service
} from "../../../../src/layers/jobs/JobSource.js"
import * as JobSourceOutbox from "../../../../src/layers/jobs/outbox/JobSourceOutbox.js"
import type { Opened } from "../../../kit/database.js"

let tables = 0

/** A table that no other test uses. */
export const newTable = () => `outbox_${++tables}`

/** The outbox of one process, in front of its engine. Nobody looks twice within the hour without being told. */
export const outbox = (
  { database, sql }: Opened,
  engine: Service,
  options: JobSourceOutbox.Options
): Effect.Effect<Service, never, Scope.Scope> =>
  Layer.build(JobSourceOutbox.layer({ pollInterval: "1 hour", ...options })).pipe(
    Effect.map(Context.get(JobSource)),
    Effect.provideService(JobSource, engine),
    Effect.provideService(Database, database),
    Effect.provideService(SqlClient.SqlClient, sql)
  )

/** Completes when the engine has those of these jobs, or of all jobs, that are in the outbox. */
export const delivered = (
  sql: SqlClient.SqlClient,
  table: string,
  queue: string,
  engine: JobQueue,
  ids?: ReadonlyArray<string>
) =>
  sql<{ id: string }>`SELECT id FROM ${sql(table)} WHERE queue = ${queue} AND state <> 'Dead'`.pipe(
    Effect.map((rows) => ids === undefined ? rows : rows.filter(({ id }) => ids.includes(id))),
    Effect.flatMap(Effect.forEach(({ id }) => engine.find(id))),
    Effect.repeat({ until: (found) => found.every(Option.isSome), schedule: Schedule.spaced("2 millis") }),
    Effect.asVoid,
    Effect.orDie
  )

/** A source whose offers have reached the engine when they are over, unless they are part of a transaction. */
export const prompt = (
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
