/**
 * Jobs in the database: as durable as the rest of it, and settled in one transaction with what they write.
 *
 * The engine is pg-boss, the same on the embedded PGlite and on PostgreSQL, but none of its workers, timers or
 * supervisors run: every statement is one of the caller's fiber, in its transaction.
 *
 * - A job belongs to a claim as long as its lease is renewed. Every claim has another number, and whatever settles the
 *   job names it: nothing is written for a claim that is gone.
 * - A hand-back spends no attempt, a failure and the death of a process spend one.
 * - Peers are woken by `NOTIFY`; where notifications are lost, polling makes up for it.
 * - What was acknowledged is deleted: the table holds what is to be done, what is being done, and the dead letters.
 *
 * A job may be processed more than once (its process died after the work and before the acknowledgement), but what is
 * written in its transactions is written once.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql"
import { Duration, Effect, Layer } from "effect"
import type { Database } from "../../database/contract.js"
import { JobSource } from "../JobSource.js"
import { make } from "./internal/source.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The database schema that holds the jobs, made where it is missing: lower-case letters, digits and `_`. `lastcall`
   * by default. Sources with different schemas know nothing of each other.
   */
  readonly schema?: string | undefined
  /**
   * How long the lease of a job lasts without being renewed, in whole seconds (rounded up). 10 seconds by default, so
   * that the job of a dead process is available again within 15. It is renewed four times as often, so two renewals
   * may fail. A queue may have a longer one of its own.
   */
  readonly lease?: Duration.DurationInput | undefined
  /** How often the leases of the dead are looked for. A second by default; one process does it at a time. */
  readonly expireEvery?: Duration.DurationInput | undefined
  /**
   * How long a queue without jobs is left alone when nobody says that there are some: the longest a job waits when a
   * notification was lost. 2 seconds by default, a quarter more or less.
   */
  readonly pollInterval?: Duration.DurationInput | undefined
}

/**
 * Jobs in the tables of the `Database`. The client must be the one the database gave, as it is when both come from
 * `Database.layer`: what is offered or settled in one of its transactions is committed with it.
 *
 * Payloads and cursors are JSON that Postgres can store: without `\u0000` and without halves of surrogate pairs.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<JobSource, never, Database | SqlClient.SqlClient> =>
  Layer.scoped(
    JobSource,
    Effect.suspend(() =>
      make({
        schema: options.schema ?? "lastcall",
        lease: Duration.decode(options.lease ?? "10 seconds"),
        expireEvery: Duration.decode(options.expireEvery ?? "1 second"),
        pollInterval: Duration.decode(options.pollInterval ?? "2 seconds")
      })
    )
  )
