/**
 * Transactions with the database, for an engine that has none: jobs are offered and settled in the database's own
 * transactions, and the engine (Redis) says who is to run what, and when.
 *
 * The job is a row in a table of the database: its payload, its cursor, its attempts, and among the dead letters what
 * went wrong. The engine is given its id.
 *
 * - **Offered** in the caller's transaction: nobody sees it before the commit, and a rollback takes it back. A relay moves
 *   committed rows to the engine, woken at once, in the order in which they were offered; two offers that different
 *   processes move at the same moment may change places. It is drained like everything else, and any process moves what
 *   another one has left.
 * - **Claimed** from the engine, and then in the table, which gives each claim a number of its own: the fence.
 * - **Settled** in one transaction with what the job writes: fence, writes, and the row is gone, or has its cursor. Then the
 *   engine is told. When it cannot be told, it gives out a job again that has no row any more, which is told off.
 *
 * So what jobs write in `complete` and `checkpoint` is written exactly once, and a holder that has lost its lease writes
 * nothing, on Redis as on the database itself; and what Redis has lost (its last second after a crash, or all of it) is
 * offered to it again.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql"
import { Duration, Effect, Layer } from "effect"
import type { Timeouts } from "../../../core/Drain.js"
import type { Database } from "../../database/contract.js"
import { JobSource } from "../JobSource.js"
import { make } from "./internal/source.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options extends Timeouts {
  /**
   * The table of the jobs, made where it is missing: at most 40 lower-case letters, digits and `_`. `lastcall_outbox` by
   * default.
   */
  readonly table?: string | undefined
  /**
   * How long the outbox is left alone when nobody says that there is something in it: the longest a job waits when a
   * notification was lost. 2 seconds by default, a quarter more or less.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
  /**
   * When a job that is not done is offered to the engine again, which takes no notice if it holds it. 10 seconds after the
   * first time by default, which is also how long a job waits whose relay died in the middle; then at intervals as long
   * as it is old, so that a long queue costs little, and every hour at least.
   */
  readonly offerAgainAfter?: Duration.DurationInput | undefined
}

/** An engine that holds every job from then on has them all again within an hour of losing them. */
const latest = Duration.hours(1)

/**
 * Puts the outbox in front of the `JobSource` that it is given, and provides it as `JobSource` in its place. The client
 * must be the one the database gave, as it is when both come from `Database.layer`.
 *
 * Jobs that are put into the engine past the outbox are run as well, and written down when they are claimed. When their
 * process dies between the commit and telling the engine, they run once more.
 *
 * Payloads and cursors are JSON that Postgres can store: without `\u0000` and without halves of surrogate pairs.
 *
 * @example
 * ```ts
 * import { Config, Layer } from "effect"
 * import { Database, JobSourceOutbox, JobSourceRedis } from "lastcall"
 *
 * const Redis = JobSourceRedis.layerConfig(Config.all({ url: Config.redacted("JOBS_URL") }))
 *
 * export const Jobs = JobSourceOutbox.layer().pipe(Layer.provide(Redis), Layer.provideMerge(Database.layerFromEnv))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<JobSource, never, JobSource | Database | SqlClient.SqlClient> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() => {
      const earliest = Duration.decode(options.offerAgainAfter ?? "10 seconds")
      return make({
        drainTimeout: options.drainTimeout,
        releaseTimeout: options.releaseTimeout,
        table: options.table ?? "lastcall_outbox",
        pollInterval: Duration.decode(options.pollInterval ?? "2 seconds"),
        patience: { earliest, latest: Duration.max(earliest, latest) }
      })
    })
  )
