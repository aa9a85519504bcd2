/**
 * Jobs in a table of the application's own database, PGlite or PostgreSQL: as durable as the rest of the database, and
 * settled in one transaction with what they write.
 *
 * - A job belongs to a claim for as long as its lease is renewed. Every claim has a number that no other claim ever has,
 *   the fence, and each statement that settles a job names it: a holder that has lost its lease writes nothing.
 *   It is the last statement of a transaction, so a process that dies or freezes in `complete` or `checkpoint` keeps the job
 *   no longer than its lease. Within a transaction of the process it comes before the rest of that transaction, and until
 *   the commit no other process can have the job: from there on the server ends the transaction when it is idle for longer than a lease.
 * - With `renewWhileBlocked`, a job that blocks the event loop keeps its lease, for up to ten minutes.
 * - A failure and the death of a process spend an attempt, a hand-back does not.
 * - Jobs are claimed by priority, those of one priority in the order in which they became due. A hand-back does not change that
 *   order.
 * - An offer wakes the pools of its own process when it is committed, and then those of other processes by `NOTIFY`, outside of the transaction: PostgreSQL
 *   commits transactions that have a `NOTIFY` one after the other. When the process dies in between, polling finds the job.
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
 * | `state` | `waiting` (available now, or later), `blocked` (until its key has its turn, or the jobs that it depends on have succeeded), `running` (leased by a process), `dead` (a dead letter) or `done` (acknowledged: nothing but its id and its result is left). |
 * | `payload` | The payload, encoded by the pool's schema. |
 * | `cursor` | What the last checkpoint left; `NULL` before the first. |
 * | `attempt` | The attempt that runs, that will run, or that was the last, from 1. |
 * | `deaths` | How many processes have died while they ran the job, since its offer or its redrive. |
 * | `fence` | The number of the last claim; `NULL` before the first. |
 * | `lease_until` | When the lease runs out unless it is renewed; `NULL` unless the job runs. |
 * | `claimed_by`, `claimed_at` | The process that has claimed the job last, as `host/pid`, and when. Processes of versions before these columns do not write them. |
 * | `due_at` | When the job became available, or will; when the id of a `done` job is free. |
 * | `keep_id_for` | How long the id is kept after the end of the job; `NULL` when it is not. |
 * | `priority` | From 0, which is claimed first, to 9. |
 * | `key` | See `OfferOptions.key`; `NULL` without one. Of one key at most one job waits or runs. |
 * | `waits_for`, `own_key` | Of how many jobs it waits for the end, `NULL` when it depended on none; its key, in place of which `key` is the empty text meanwhile. |
 * | `has_dependents` | Whether jobs have waited for this one. |
 * | `unique_until` | Until when the id is taken whatever becomes of the job; `NULL` unless it was offered with `uniqueFor`. |
 * | `number` | The order of offers: among jobs of a priority that became due at the same time the lower number is claimed first. |
 * | `created_at` | When the job was offered. |
 * | `offer_at` | When a waiting job is offered to the carrier (again); `NULL` for as soon as it is due. Only `layerCarried` uses it. |
 * | `error` | What went wrong in the last attempt that failed. |
 * | `failure` | What a dead letter failed with, encoded by the schema `failure` of its pool; `NULL` without one, and for other reasons. |
 * | `awaited` | Whether its end is announced with `NOTIFY`, because a process waits for it. |
 * | `result` | What a `done` job has succeeded with, encoded by the schema `success` of its pool; `NULL` without one. |
 * | `failed_at` | When the job became a dead letter; `NULL` unless it is one. |
 *
 * `<table>_turns` has a row for each key whose next job is about to be made available; triggers add the rows of jobs that end.
 * Processes of versions before it claim the first jobs of keys only, and do not count, show or cancel blocked ones.
 *
 * `<table>_dependencies` has a row for each job that another one waits for, until it ends: then triggers release the other one, in the same commit, whatever
 * process has ended it.
 *
 * `<table>_paused` has a row for each queue that is paused, with `queue` and `paused_at`. Processes of versions before it do not look
 * there, and claim jobs all the same.
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
import type { Timeouts } from "../../../core/Drain.js"
import { countOption, durationOption } from "../../../core/internal/options.js"
import type { BudgetError } from "../../../core/ShutdownConfig.js"
import type { Database } from "../../database/contract.js"
import { JobCarrier } from "../JobCarrier.js"
import { JobSource } from "../JobSource.js"
import { makeCarrierFinder } from "./internal/carrierFinder.js"
import { carrierTable } from "./internal/carrierStatements.js"
import { make, makeTableFinder } from "./internal/source.js"
import { defaultTable } from "./internal/statements.js"

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
  /**
   * The number of jobs that each queue has room for, including delayed jobs and excluding running ones: beyond it offers fail with
   * `QueueFull`. Infinite by default: a table has room for an outage, and such an offer counts nothing. A job that returns to the queue (a
   * retry, a hand-back, a redrive) always has room.
   *
   * It is an estimate. Jobs are counted by `depth`, at most for a tenth of the time, when the last count of this process is a second
   * old or its room is used up; so the queue may get more jobs by as many as the other processes offer within a second. A repeated offer
   * is refused as any other, although it would add nothing.
   */
  readonly capacity?: number | undefined
  /**
   * Whether leases are renewed also while a job blocks the event loop: by a thread, on a connection of its own. `false` by default:
   * each process pays for it with the thread, about 11 MB of memory and one more connection to the server, and only jobs that block for
   * longer than their lease need it. Not used by PGlite, whose jobs no other process can take.
   *
   * **Promised:** such a job, the jobs beside it and those that are claimed ahead keep their leases for up to ten minutes, and in a drain for
   * no longer than its bound. A process that is frozen or dead loses them at the usual time. **Not promised:** that they are kept when the
   * connection of the thread is lost meanwhile, which only the event loop can make anew; and the leases of a claim whose response the blocked
   * event loop has not read. Where there is no thread or no connection, one warning says why, and the pool works as without the option.
   *
   * Before Node 22.14 threads have no names, so that the exit takes a computation of `node:crypto` or `node:zlib` in libuv's thread pool
   * for this thread, and overlooks one. `process.exit` then waits until that computation has ended, which may be after the deadline.
   */
  readonly renewWhileBlocked?: boolean | undefined
}

/**
 * The defaults of `Options`, each with its reason there.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  table: defaultTable,
  lease: Duration.seconds(10),
  expireEvery: Duration.seconds(1),
  pollInterval: Duration.seconds(2),
  capacity: Infinity,
  renewWhileBlocked: false
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
    Effect.suspend(() => make(settingsOf(options), { make: makeTableFinder }))
  )

const settingsOf = (options: Options) => {
  const duration = (option: "lease" | "expireEvery" | "pollInterval") =>
    durationOption("JobSourceSql", option, options[option] ?? defaults[option], { positive: true })
  return {
    table: options.table ?? defaults.table,
    lease: duration("lease"),
    expireEvery: duration("expireEvery"),
    pollInterval: duration("pollInterval"),
    capacity: countOption("JobSourceSql", "capacity", options.capacity ?? defaults.capacity, {
      least: 1,
      unlimited: true
    }),
    renewWhileBlocked: options.renewWhileBlocked ?? defaults.renewWhileBlocked
  }
}

/**
 * The options of a source with a carrier.
 *
 * @since 0.1.0
 * @category models
 */
export interface CarriedOptions extends Options, Timeouts {
  /**
   * When a job that waits is offered to the carrier again, which ignores ids that it holds if it can. 10 seconds after the first time by
   * default: so long a job waits whose process died between the table and the carrier. Then at intervals as long as the job
   * waits, so that a long queue costs little, and at least every hour, so that a carrier that lost a part of its data
   * has all ids again within an hour. One that lost all of it has them again within two poll intervals: it has lost the
   * sentinel, an id in its queue `<table>:sentinel`.
   */
  readonly offerAgainAfter?: Duration.DurationInput | undefined
}

/**
 * The defaults of what `CarriedOptions` has besides `Options`. Those of the timeouts are the ones of every drain.
 *
 * @since 0.1.0
 * @category defaults
 */
export const carriedDefaults = {
  offerAgainAfter: Duration.seconds(10)
} as const satisfies CarriedOptions

const offerAgainAtLatest = Duration.hours(1)

/**
 * `layer`, except that a `JobCarrier` distributes the jobs to processes, so that the database does not. The table is the same, and
 * so is everything that is promised about it: jobs are offered and settled in transactions of the database.
 *
 * Committed jobs are offered to the carrier by a relay, at once and in the order in which they became due, by one process at a
 * time; jobs that are handed back go before the others. The relay is drained like everything else, and any process offers what
 * another one left. Jobs that other programs add to the carrier get a row when they are received, and run like any other; their
 * ids are kept for 5 minutes.
 *
 * Sources with and without a carrier may use a table at the same time, so that one can replace the other without a stop. The jobs of
 * a table `lastcall_outbox`, where `JobSourceOutbox` of earlier versions kept them, are moved to `lastcall_jobs` when a queue is
 * opened, and so is what processes of these versions still offer.
 *
 * **Promised:** what `layer` promises, also when the carrier loses its data, or delivers an id never or twice. **Not promised:**
 * that jobs of different offers keep their order, unless they have one key. Priorities are kept where the carrier has them: over one that has none, offers
 * with a priority fail.
 *
 * **Errors:** building the layer fails with `BudgetError` when the budget of `launch` can never hold a timeout. While the carrier is
 * away claims fail with `JobSourceError`; offers and settlements succeed.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCarried = (
  options: CarriedOptions = {}
): Layer.Layer<JobSource, BudgetError, JobCarrier | Database | SqlClient.SqlClient> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() => {
      const earliest = durationOption(
        "JobSourceSql",
        "offerAgainAfter",
        options.offerAgainAfter ?? carriedDefaults.offerAgainAfter,
        { positive: true }
      )
      const { drainTimeout, releaseTimeout } = options
      const offerAgain = { earliest, latest: Duration.max(earliest, offerAgainAtLatest) }
      return make(settingsOf(options), {
        tables: (table) => [carrierTable(table)],
        make: (ledger) =>
          Effect.flatMap(
            JobCarrier,
            (carrier) => makeCarrierFinder({ carrier, drainTimeout, offerAgain, releaseTimeout }, ledger)
          )
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

/**
 * `layerCarried` with options from the configuration. Fails with a `ConfigError` when one of them is missing or invalid.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerCarriedConfig = (
  options: Config.Config.Wrap<CarriedOptions>
): Layer.Layer<JobSource, BudgetError | ConfigError.ConfigError, JobCarrier | Database | SqlClient.SqlClient> =>
  Layer.unwrapEffect(Effect.map(Config.unwrap(options), layerCarried))
