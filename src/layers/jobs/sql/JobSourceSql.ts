/**
 * Jobs in a table of the application's own database, PGlite or PostgreSQL: as durable as the rest of the database, and
 * settled in one transaction with what they write.
 *
 * - A job belongs to a claim for as long as its lease is renewed. Every claim has a number that no other claim ever has,
 *   the fence, and each statement that settles a job names it: a holder that has lost its lease writes nothing.
 * - A failure and the death of a process spend an attempt, a hand-back does not.
 * - Jobs are claimed in the order in which they became due. A hand-back does not change that order.
 * - Other processes are woken by `NOTIFY`; polling finds jobs whose notification was lost.
 *
 * **Promised:** what a job writes in `complete` and `checkpoint` is committed together with the fact, or not at all. A
 * large number of delayed or dead jobs does not slow down claims. **Not promised:** that a job runs only once. It runs
 * again when its process dies after the work and before the acknowledgement.
 *
 * ## The table
 *
 * The table may be read with SQL at any time; it is written by this module alone. It holds what waits, what runs, the
 * dead letters, and the ids that are kept: acknowledged jobs are deleted otherwise.
 *
 * | column | meaning |
 * | --- | --- |
 * | `queue`, `id` | The primary key: the name of the queue, and the id that `offer` was given or has returned. |
 * | `state` | `waiting` (available now, or later), `running` (leased by a process), `dead` (a dead letter) or `done` (acknowledged: nothing but its id is left). |
 * | `payload` | The payload, encoded by the pool's schema. |
 * | `cursor` | What the last checkpoint left; `NULL` before the first. |
 * | `attempt` | The attempt that runs, that will run, or that was the last, from 1. |
 * | `deaths` | How many processes have died while they ran the job, since its offer or its redrive. |
 * | `fence` | The number of the last claim; `NULL` before the first. |
 * | `lease_until` | When the lease runs out unless it is renewed; `NULL` unless the job runs. |
 * | `due_at` | When the job became available, or will; when the id of a `done` job is free. |
 * | `keep_id_for` | How long the id is kept after the end of the job; `NULL` when it is not. |
 * | `number` | The order of offers: among jobs that became due at the same time the lower number is claimed first. |
 * | `created_at` | When the job was offered. |
 * | `error` | What went wrong in the last attempt that failed. |
 * | `failed_at` | When the job became a dead letter; `NULL` unless it is one. |
 *
 * `<table>_migrations` holds the numbers of the migrations that have been run. Migrations are run when a queue is opened, by
 * one process at a time, and leave the table usable by processes of the version before them.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Layer } from "effect"
 * import { Database, JobSourceSql, WorkerPool } from "lastcall"
 *
 * class Mailer extends WorkerPool.Tag("mailer")<Mailer, { readonly to: string }>() {}
 *
 * const Workers = Mailer.layer({
 *   concurrency: 10,
 *   process: ({ to }, job) =>
 *     Effect.flatMap(SqlClient.SqlClient, (sql) => job.complete(sql`INSERT INTO letters (address) VALUES (${to})`))
 * })
 *
 * export const Live = Workers.pipe(Layer.provide(JobSourceSql.layer()), Layer.provide(Database.layerFromEnv))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql"
import { Config, type ConfigError, Duration, Effect, Layer } from "effect"
import { durationOption } from "../../../core/internal/options.js"
import type { Database } from "../../database/contract.js"
import { JobSource } from "../JobSource.js"
import { make } from "./internal/source.js"

/**
 * Where the jobs are kept, and how soon other processes act.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The table of the jobs, made where it is missing: at most 40 lower-case letters, digits and `_`. `lastcall_jobs` by
   * default. Sources over different tables share nothing.
   */
  readonly table?: string | undefined
  /**
   * How long the lease of a job lasts without being renewed. 10 seconds by default, so that the job of a dead process is
   * available again within 15. It is renewed four times as often, so two renewals may fail. A queue may ask for a longer
   * one of its own.
   */
  readonly lease?: Duration.DurationInput | undefined
  /**
   * How often expired leases are looked for. A second by default, a small part of a lease; one process does it at a
   * time.
   */
  readonly expireEvery?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when no notification arrives: the longest a job waits when its
   * notification was lost. 2 seconds by default, and up to a quarter more or less, so that processes do not poll at the
   * same moment.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
}

/**
 * The defaults of `Options`, each with its reason there.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  table: "lastcall_jobs",
  lease: Duration.seconds(10),
  expireEvery: Duration.seconds(1),
  pollInterval: Duration.seconds(2)
} as const satisfies Options

/**
 * A `JobSource` over a table of the `Database`. The `SqlClient` must be the one that the database provides, as it is when
 * both come from `Database.layer`: what is offered or settled inside one of its transactions is committed with it.
 *
 * Payloads and cursors are JSON that PostgreSQL can store: without `\u0000` and without halves of surrogate pairs. The
 * same holds for ids, which have at most 2,600 bytes.
 *
 * **Errors:** building the layer does not use the database. Opening a queue, and every operation on it, fails with
 * `JobSourceError` while the database is away.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<JobSource, never, Database | SqlClient.SqlClient> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() => {
      const duration = (option: "lease" | "expireEvery" | "pollInterval") =>
        durationOption("JobSourceSql", option, options[option] ?? defaults[option], { positive: true })
      return make({
        table: options.table ?? defaults.table,
        lease: duration("lease"),
        expireEvery: duration("expireEvery"),
        pollInterval: duration("pollInterval")
      })
    })
  )

/**
 * `layer` with options from the configuration. Fails with a `ConfigError` when one of them is missing or invalid.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<JobSource, ConfigError.ConfigError, Database | SqlClient.SqlClient> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))
