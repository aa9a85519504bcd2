import { SqlClient } from "@effect/sql"
import { Context, Effect, Layer, Option, Schedule, type Scope } from "effect"
import { Database } from "../../../../src/layers/database/Database.js"
import * as JobCarrier from "../../../../src/layers/jobs/JobCarrier.js"
import { type JobQueue, JobSource, type JobSourceError, type Service } from "../../../../src/layers/jobs/JobSource.js"
import { sentinel, sentinelQueue } from "../../../../src/layers/jobs/sql/internal/carrierLoss.js"
import * as JobSourceSql from "../../../../src/layers/jobs/sql/JobSourceSql.js"
import { type Conditions, jobSourceConformance } from "../../../conformance/jobSource.js"
import type { Opened } from "../../../kit/database.js"
import type { MemoryCarrier } from "../../../kit/memoryCarrier.js"
import { eventually } from "../../../kit/until.js"
import type { Databases } from "./JobSourceSqlWorld.js"

let tables = 0

/** A table that no other test uses. */
export const newTable = () => `carried_${++tables}`

/** The source of one process. It polls once an hour, so only a notification wakes it. */
export const carried = (
  { database, sql }: Opened,
  carrier: JobCarrier.Service,
  options: JobSourceSql.CarriedOptions
): Effect.Effect<Service, never, Scope.Scope> =>
  Layer.build(JobSourceSql.layerCarried({ pollInterval: "1 hour", ...options })).pipe(
    // Without `launch` there is no budget.
    Effect.catchTag("BudgetError", Effect.die),
    Effect.map(Context.get(JobSource)),
    Effect.provideService(JobCarrier.JobCarrier, carrier),
    Effect.provideService(Database, database),
    Effect.provideService(SqlClient.SqlClient, sql)
  )

/** Completes when the carrier holds the ids of all jobs that can be claimed through it. */
const delivered = (sql: SqlClient.SqlClient, table: string, queue: string, carrier: JobCarrier.CarrierQueue) =>
  sql<{ id: string; offered: boolean }>`
    SELECT id, coalesce(offer_at, due_at) > clock_timestamp() AS offered FROM ${sql(table)}
    WHERE queue = ${queue} AND state = 'waiting' AND deaths = 0 AND due_at <= clock_timestamp()
      AND NOT EXISTS (SELECT 1 FROM ${sql(`${table}_paused`)} WHERE queue = ${queue})`.pipe(
    Effect.flatMap(Effect.forEach(({ id, offered }) => offered ? carrier.holds(id) : Effect.succeed(false))),
    Effect.repeat({ until: (held) => held.every((held) => held), schedule: Schedule.spaced("2 millis") }),
    Effect.asVoid,
    Effect.orDie
  )

const unlessInTransaction = (effect: Effect.Effect<void>) =>
  Effect.flatMap(
    Effect.serviceOption(SqlClient.TransactionConnection),
    (transaction) => Option.isSome(transaction) ? Effect.void : effect
  )

/** A source whose operations complete when the carrier holds what they made available, except in a transaction. */
const waitingForRelay = (
  { sql }: Opened,
  table: string,
  carrier: JobCarrier.Service,
  source: Service,
  flushes: Array<Effect.Effect<void>>
): Service => ({
  ...source,
  open: (options): Effect.Effect<JobQueue, JobSourceError, Scope.Scope> =>
    Effect.gen(function*() {
      const queue = yield* source.open(options)
      const flush = delivered(sql, table, options.name, yield* carrier.open({ name: options.name }))
      flushes.push(flush)
      const flushed = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.zipLeft(effect, unlessInTransaction(flush))
      return {
        ...queue,
        offer: (...args) => flushed(queue.offer(...args)),
        transact: (claim, writes, how) =>
          how._tag === "Checkpoint" && how.handBack
            ? flushed(queue.transact(claim, writes, how))
            : queue.transact(claim, writes, how),
        handBack: (claims) => flushed(queue.handBack(claims)),
        setPaused: (paused) => flushed(queue.setPaused(paused)),
        deadLetters: {
          ...queue.deadLetters,
          redrive: (...args) => flushed(queue.deadLetters.redrive(...args))
        }
      }
    })
})

/** Completes when the carrier holds these ids, and no others. */
export const holds = (carrier: MemoryCarrier, ids: ReadonlyArray<string>) =>
  eventually(
    `the carrier holds ${ids.join(", ")}`,
    Effect.sync(() => carrier.held("jobs")),
    (held) => [...held].sort().join() === [...ids].sort().join()
  )

/** The suite of every `JobSource`, over two processes that share a database and a carrier. */
export const carriedConformance = (
  name: string,
  databases: Databases,
  carriers: Effect.Effect<readonly [JobCarrier.Service, JobCarrier.Service], unknown, Scope.Scope>,
  lease: "1 second" | "3 seconds",
  options: Pick<Conditions, "handsBackFirst"> = {}
) =>
  jobSourceConformance(name, {
    ...options,
    make: (world) =>
      Effect.gen(function*() {
        const [first, second] = yield* databases
        const { sql } = first
        const table = newTable()
        const lines = sql(`lines_of_${table}`)
        yield* sql`CREATE TABLE ${lines} (number serial, line text)`
        const [one, other] = yield* carriers
        // A carrier that has just been made looks like one that has lost its data: a process that looks late would lock rows to offer them again.
        yield* Effect.flatMap(one.open({ name: sentinelQueue(table) }), (queue) => queue.offer([sentinel]))
        const options = { table, lease, expireEvery: "100 millis", renewWhileBlocked: true, ...world } as const
        const flushes: Array<Effect.Effect<void>> = []
        return {
          sources: [
            waitingForRelay(first, table, one, yield* carried(first, one, options), flushes),
            waitingForRelay(second, table, other, yield* carried(second, other, options), flushes)
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

/**
 * `carriedConformance` over a server that carries the jobs: two carriers with a prefix of their own. The lease is longer than elsewhere, because a claim takes
 * three systems, on a machine that is shared.
 */
export const conformanceOver = (
  name: string,
  newPrefix: () => string,
  carrier: (prefix: string) => Effect.Effect<JobCarrier.Service, unknown, Scope.Scope>,
  options: Pick<Conditions, "handsBackFirst"> = {}
) =>
(databases: Databases) =>
  carriedConformance(
    `the ledger with ${name}`,
    databases,
    Effect.suspend(() => {
      const prefix = newPrefix()
      return Effect.all([carrier(prefix), carrier(prefix)])
    }),
    "3 seconds",
    options
  )
