/**
 * Transactions with the database for an engine that has none: jobs are offered and settled in transactions of the
 * database, and the engine (Redis) distributes them to processes.
 *
 * A job is a row in a table of the database, with its payload, cursor and attempts. The engine holds its id.
 *
 * - **Offered** in the transaction of the caller: the job exists after its commit. A relay then moves committed rows to the
 *   engine, at once and in the order of their offers; rows that two processes moved at the same moment may change
 *   places. Any process moves rows that another one left. The relay is drained like everything else.
 * - **Claimed** from the engine, then in the table, which gives every claim a number that no other claim ever has: the
 *   fence.
 * - **Settled** in one transaction with the writes of the job: fence, writes, and the row is deleted or has its cursor. The
 *   engine is updated after the commit. An engine that misses the update redelivers a job whose row is gone; it is
 *   acknowledged and dropped.
 *
 * **Promised:** what a job writes in `complete` and `checkpoint` is committed once, and a holder that has lost its lease writes
 * nothing. Jobs that Redis has lost (its last second after a crash, or all of its data) are offered to it again.
 * **Not promised:** that a job runs only once, or that jobs of different offers keep their order.
 *
 * @example
 * ```ts
 * import { Config, Layer } from "effect"
 * import { Database, JobSourceOutbox, JobSourceRedis } from "lastcall"
 *
 * const Redis = JobSourceRedis.layerConfig({ url: Config.redacted("JOBS_URL") })
 *
 * export const Jobs = JobSourceOutbox.layer().pipe(Layer.provide(Redis), Layer.provideMerge(Database.layerFromEnv))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql"
import { Config, type ConfigError, Duration, Effect, Layer } from "effect"
import type { Timeouts } from "../../../core/Drain.js"
import { durationOption } from "../../../core/internal/options.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import type { Database } from "../../database/contract.js"
import { JobSource } from "../JobSource.js"
import { make } from "./internal/source.js"

/**
 * Where the jobs are kept, and how soon they reach the engine.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Timeouts {
  /**
   * The table of the jobs, made where it is missing: at most 40 lower-case letters, digits and `_`. `lastcall_outbox` by
   * default. Sources over different tables share nothing in the database.
   */
  readonly table?: string | undefined
  /**
   * How long the outbox is left alone when no notification arrives: the longest a job waits when its notification was
   * lost. 2 seconds by default, and up to a quarter more or less, so that processes do not poll at the same moment.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /**
   * When an unfinished job is offered to the engine again, which ignores jobs that it holds. 10 seconds after the first
   * time by default: so long a job waits whose relay died in between. Then at intervals as long as the job is old, so
   * that a long queue costs little, and at least every hour, so that an engine that lost a part of its data has all jobs
   * again within an hour. An engine that lost all of it has them again within two poll intervals: it has lost the
   * sentinel, a job of the outbox in the queue `<table>:sentinel` of the engine.
   */
  readonly offerAgainAfter?: Duration.DurationInput | undefined
}

/**
 * The defaults of `Options`, each with its reason there. Those of the timeouts are the ones of every drain.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  table: "lastcall_outbox",
  pollInterval: Duration.seconds(2),
  offerAgainAfter: Duration.seconds(10)
}

const offerAgainAtLatest = Duration.hours(1)

/**
 * Puts the outbox in front of the `JobSource` that it is given, and provides it as `JobSource` in its place. The
 * `SqlClient` must be the one that the database provides, as it is when both come from `Database.layer`.
 *
 * Jobs that were added to the engine directly run, too; they get a row when they are claimed. Such a job runs again when its
 * process dies between the commit and the update of the engine.
 *
 * Payloads and cursors are JSON that PostgreSQL can store: without `\u0000` and without halves of surrogate pairs. The
 * same holds for ids, which have at most 2,600 bytes.
 *
 * **Errors:** building the layer fails with `BudgetError` when the budget of `launch` can never hold a timeout. Offers and
 * settlements fail with `JobSourceError` while the database is away. An engine that is away fails
 * claims and renewals; offers succeed, and wait in the table.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<JobSource, BudgetError, JobSource | Database | SqlClient.SqlClient> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() => {
      const duration = (option: "pollInterval" | "offerAgainAfter") =>
        durationOption("JobSourceOutbox", option, options[option] ?? defaults[option], { positive: true })
      const earliest = duration("offerAgainAfter")
      return make({
        drainTimeout: options.drainTimeout,
        releaseTimeout: options.releaseTimeout,
        table: options.table ?? defaults.table,
        pollInterval: duration("pollInterval"),
        redelivery: { earliest, latest: Duration.max(earliest, offerAgainAtLatest) }
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
): Layer.Layer<JobSource, BudgetError | ConfigError.ConfigError, JobSource | Database | SqlClient.SqlClient> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layer))
