import { brief } from "../../../database/contract.js"
import { messagePrefix, separator } from "../../internal/cancellations.js"
import type { JobTable } from "../../internal/jobTable.js"
import { defaultPriority, lastPriority } from "../../internal/priority.js"
import { offerDependentStatement } from "./dependencyStatements.js"
import { dependencyMigration } from "./dependencyTable.js"
import { endStatements } from "./endStatements.js"
import { endMigration } from "./endTable.js"
import { failureMigration } from "./failureTable.js"
import { advanceStatement, hasTurns, literal } from "./keyStatements.js"
import { keyMigration, turnsOf } from "./keyTable.js"
import { offerStatements } from "./offerStatements.js"
import { quietEndsMigration } from "./quietEnds.js"

/** See `JobSourceSql.defaults`. */
export const defaultTable = "lastcall_jobs"

/** The channel on which `NOTIFY` announces that there may be jobs, with the name of the queue as the payload. */
export const channelOf = (table: string): string => table

/** Precedes the name of a queue in the payload when the queue was paused or resumed. */
export const pausedPrefix = "paused "

/** How many ids are forgotten in one statement, so that each is short. More are kept only for as long as it takes. */
const mostForgotten = 5_000

/** The table that `JobSourceSql` documents. */
export const jobTable = (table: string): JobTable => ({
  name: table,
  migrations: [
    // Ids and queues are compared byte by byte: an index in the order of a locale breaks when the locale is updated.
    // No index has lease_until: so a renewal changes the row in place, and touches no index.
    `CREATE TABLE ${table} (
      queue text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      state text COLLATE "C" NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'dead')),
      payload jsonb NOT NULL,
      cursor jsonb,
      attempt int NOT NULL DEFAULT 1,
      fence bigint,
      lease_until timestamptz,
      due_at timestamptz NOT NULL,
      number bigint GENERATED ALWAYS AS IDENTITY,
      created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      error text,
      failed_at timestamptz,
      PRIMARY KEY (queue, id)
    ) WITH (fillfactor = 80);
    CREATE SEQUENCE ${table}_fence OWNED BY ${table}.fence;
    CREATE INDEX ${table}_waiting ON ${table} (queue, due_at, number) WHERE state = 'waiting';
    CREATE INDEX ${table}_running ON ${table} (queue) WHERE state = 'running';
    CREATE INDEX ${table}_dead ON ${table} (queue, failed_at, id) WHERE state = 'dead'`,
    `ALTER TABLE ${table} ADD COLUMN keep_id_for interval,
      DROP CONSTRAINT ${table}_state_check,
      ADD CONSTRAINT ${table}_state_check CHECK (state IN ('waiting', 'running', 'dead', 'done')) NOT VALID;
    CREATE INDEX ${table}_done ON ${table} (due_at) WHERE state = 'done'`,
    `ALTER TABLE ${table} ADD COLUMN deaths int NOT NULL DEFAULT 0;
    CREATE INDEX ${table}_orphans ON ${table} (queue, due_at, number) WHERE state = 'waiting' AND deaths > 0`,
    `ALTER TABLE ${table} ADD COLUMN offer_at timestamptz`,
    `CREATE TABLE ${table}_paused (
      queue text COLLATE "C" PRIMARY KEY,
      paused_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )`,
    // Processes of the version before find their jobs by the new index as well, if more slowly when many are available.
    `ALTER TABLE ${table} ADD COLUMN priority smallint NOT NULL DEFAULT ${defaultPriority};
    DROP INDEX ${table}_waiting;
    CREATE INDEX ${table}_waiting ON ${table} (queue, priority, due_at, number) WHERE state = 'waiting'`,
    `ALTER TABLE ${table} ADD COLUMN claimed_by text, ADD COLUMN claimed_at timestamptz`,
    `ALTER TABLE ${table} ADD COLUMN unique_until timestamptz`,
    keyMigration(table),
    endMigration(table),
    // The planner takes a queue that is not in the statistics for one without jobs, and reads all its jobs where it should look up some. Without
    // statistics it takes each queue for a 200th of the table.
    [table, turnsOf(table)].map((table) => `ALTER TABLE ${table} ALTER COLUMN queue SET STATISTICS 0`).join("; "),
    failureMigration(table),
    quietEndsMigration(table),
    dependencyMigration(table)
  ]
})

/** The columns of a job that is looked at, besides those of one that is claimed. */
export const foundColumns = (job: string): string => {
  const millis = (column: string) => `(extract(epoch FROM ${column}) * 1000)::float8 AS ${column}`
  return `${job}, CASE WHEN state = 'waiting' AND due_at > clock_timestamp() THEN 'delayed' ELSE state END AS state, error,
    failure::text AS failure, claimed_by, key, own_key, ${
    ["failed_at", "created_at", "due_at", "claimed_at", "lease_until"].map(millis).join(", ")
  }`
}

/**
 * The first jobs of each priority, one priority after the other: only as many are read, and locked, as are asked for. Jobs of other
 * priorities, and those that are delayed, are in other parts of the index, and cost nothing.
 */
export const inEachPriority = (table: string, condition: string, columns: string, limit: string): string =>
  `generate_series(${defaultPriority}, ${lastPriority}) AS level, LATERAL (
          SELECT ${columns} FROM ${table} WHERE ${condition} AND priority = level ORDER BY due_at, number LIMIT ${limit}) AS job`

/** Whether the queue `$1` is not paused. Evaluated once for a statement. */
export const unpausedIn = (table: string): string => `NOT EXISTS (SELECT 1 FROM ${table}_paused WHERE queue = $1)`

/**
 * Statements over the table of jobs; `$1` is the queue everywhere. Leases are `$2`, ids, and `$3`, fences. A fence is
 * given to one claim of one job and never again, so the two need not be matched in pairs, and a lease that was handed
 * back, ran out or was followed by another one matches nothing.
 *
 * - Times are `clock_timestamp()`, not `now()`: in a transaction that took a while, the latter is long past. As
 *   `(SELECT clock_timestamp())` it is evaluated once, and an index can be searched by it.
 * - Rows are found by `id = ANY(...)`, also those that a CTE has locked: with a join the planner may scan the table
 *   when its statistics are old, as those of a queue always are.
 */
export const statementsOf = (table: string) => {
  const now = "(SELECT clock_timestamp())"
  const after = (seconds: string) => `clock_timestamp() + ${seconds}::float8 * interval '1 second'`
  const ids = "id = ANY($2::text[])"
  const leased = `queue = $1 AND ${ids} AND fence = ANY($3::text[]::bigint[]) AND state = 'running'`
  const dead = "queue = $1 AND state = 'dead'"
  const unpaused = unpausedIn(table)
  const forgettable = `state = 'done' AND due_at <= ${now}`
  /** Evaluated once, and only when there is a row to return. */
  const wake = `(SELECT pg_notify('${channelOf(table)}', $1))::text AS woken`
  /** Changes leased jobs, gives their fences, and wakes all processes when that makes jobs available. */
  const settle = (changes: string, options: { readonly wakes: boolean; readonly idle?: string }) =>
    brief(`WITH settled AS (UPDATE ${table} SET ${changes} WHERE ${leased} RETURNING fence)
    SELECT fence::text AS fence${options.wakes ? `, ${wake}` : ""}${
      options.idle === undefined ? "" : `, ${bound(options.idle)}`
    } FROM settled`)
  /**
   * In a transaction the job's row is locked until the commit: a process that is frozen before it must not hold the row for longer than
   * a lease. The parameter is the milliseconds for which the transaction may then be idle.
   */
  const bound = (idle: string) => `set_config('idle_in_transaction_session_timeout', ${idle}::text, true) AS bound`
  const wait = "state = 'waiting', lease_until = NULL, offer_at = NULL"
  const handBack = "state = 'waiting', lease_until = NULL, offer_at = '-infinity'"
  const cursor = "cursor = $4::text::jsonb"
  const job = "id, payload::text AS payload, cursor::text AS cursor, attempt"
  /** Claims at most one orphan, and jobs that `due` selects and locks, up to the limit. `$3` is the lease in seconds, `$4` whether an orphan may be claimed, `$5` this process. */
  const claim = (due: string, limit: string) =>
    brief(`WITH orphan AS MATERIALIZED (
        SELECT id FROM ${table} WHERE $4::boolean AND queue = $1 AND state = 'waiting' AND deaths > 0 AND due_at <= ${now}
          AND ${unpaused}
        ORDER BY due_at, number LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED),
      due AS MATERIALIZED (
        ${due} LIMIT ${limit}::int - (SELECT count(*) FROM orphan)),
      claimed AS (
        UPDATE ${table} SET state = 'running', fence = nextval('${table}_fence'), lease_until = ${after("$3")},
          claimed_by = $5, claimed_at = clock_timestamp()
        WHERE queue = $1 AND id = ANY(ARRAY(SELECT id FROM orphan UNION ALL SELECT id FROM due))
        RETURNING ${job}, fence, deaths, priority, due_at, number)
      SELECT id, payload, cursor, attempt, deaths > 0 AS orphan, fence::text AS fence, ${
      hasTurns(table)
    } AS turns FROM claimed
      ORDER BY priority, due_at, number`)
  const available = `queue = $1 AND state = 'waiting' AND deaths = 0 AND due_at <= ${now} AND ${unpaused}`
  const found = foundColumns(job)
  const offering = { forgettable, ids, now }

  return {
    ...endStatements(table, { bound, ids, leased }),
    ...offerStatements(table, offering),
    /** See `offerDependentStatement`. */
    offerDependent: offerDependentStatement(table, offering),
    /** See `advanceStatement`. */
    advance: advanceStatement(table, channelOf(table)),
    /** `$2` is the limit. See above. */
    claim: claim(
      `SELECT id FROM ${inEachPriority(table, available, "id", "$2::int FOR NO KEY UPDATE SKIP LOCKED")}`,
      "$2"
    ),
    /** `$2` are ids that the carrier has delivered, `$6` is the limit. */
    claimDelivered: claim(
      `SELECT id FROM (SELECT id FROM ${table} WHERE ${available} AND ${ids}
        ORDER BY priority, due_at, number LIMIT $6::int - (SELECT count(*) FROM orphan) FOR NO KEY UPDATE SKIP LOCKED) AS job`,
      "$6"
    ),
    /**
     * Milliseconds until the next job is due, negative when it is overdue, null when there is none to come or the queue is paused. `$2` is whether
     * it may be an orphan. And whether keys have turns.
     */
    due: brief(
      `SELECT ${hasTurns(table)} AS turns, (SELECT (extract(epoch FROM due_at - clock_timestamp()) * 1000)::float8
      FROM ${
        inEachPriority(
          table,
          `queue = $1 AND state = 'waiting' AND ($2::boolean OR deaths = 0) AND ${unpaused}`,
          "due_at",
          "1"
        )
      }
      ORDER BY due_at LIMIT 1) AS due`
    ),
    handBack: settle(handBack, { wakes: true }),
    /** `$4` is the cursor. See `bound` for `$5`. */
    checkpoint: settle(cursor, { wakes: false, idle: "$5" }),
    checkpointAndHandBack: settle(`${cursor}, ${handBack}`, { wakes: true, idle: "$5" }),
    /** `$4` is the cursor, `NULL` to keep the one that is there, `$5` the delay in seconds. See `bound` for `$6`. */
    snooze: settle(`${wait}, cursor = coalesce($4::text::jsonb, cursor), due_at = ${after("$5")}`, {
      wakes: true,
      idle: "$6"
    }),
    /** `$4` is the error, `$5` the delay in seconds. */
    retry: settle(`${wait}, attempt = attempt + 1, error = $4, due_at = ${after("$5")}`, { wakes: true }),
    /** `$4` is the error, `$5` the failure, null without one. To the millisecond, as pages of dead letters name it. */
    deadLetter: settle(
      `state = 'dead', lease_until = NULL, error = $4, failure = $5::text::jsonb, failed_at = date_trunc('milliseconds', clock_timestamp())`,
      { wakes: false }
    ),
    /**
     * `$4` is the lease in seconds. Gives the fences of all that are still leased. A job whose row is locked is being
     * settled at this moment: it needs no renewal (`reap` skips it, too), and to wait for it would starve the others.
     */
    renew: brief(`WITH leased AS (SELECT fence FROM ${table} WHERE ${leased}),
      free AS MATERIALIZED (SELECT id FROM ${table} WHERE ${leased} FOR NO KEY UPDATE SKIP LOCKED),
      renewed AS (
        UPDATE ${table} SET lease_until = ${after("$4")} WHERE queue = $1 AND id = ANY(ARRAY(SELECT id FROM free)))
      SELECT fence::text AS fence FROM leased`),
    /** `renew` of these fences, which go between the two texts: a thread sends it, without values. The lease is in seconds. */
    renewByFence: (queue: string, lease: number) => {
      const running = `queue = ${literal(queue)} AND state = 'running'`
      return {
        before: `WITH free AS MATERIALIZED (SELECT id FROM ${table} WHERE ${running} AND fence = ANY('{`,
        after: `}'::bigint[]) FOR NO KEY UPDATE SKIP LOCKED)
          UPDATE ${table} SET lease_until = ${
          after(String(lease))
        } WHERE ${running} AND id = ANY(ARRAY(SELECT id FROM free))`
      }
    },
    /**
     * `$1` are names of queues. Makes jobs available whose leases ran out, at the cost of an attempt, and returns
     * how many of which queue. Forgets ids that were kept long enough, of all queues. One process at a time: without
     * the lock there is nothing to do.
     */
    reap: `WITH turn AS MATERIALIZED (
        SELECT pg_try_advisory_xact_lock(hashtextextended('lastcall.${table}.expire', 0)) AS mine),
      orphans AS MATERIALIZED (
        SELECT queue, id FROM ${table}
        WHERE (SELECT mine FROM turn) AND queue = ANY($1::text[]) AND state = 'running' AND lease_until < ${now}
        FOR NO KEY UPDATE SKIP LOCKED),
      expired AS (
        UPDATE ${table} AS job
        SET ${wait}, attempt = attempt + 1, deaths = deaths + 1, error = 'the lease ran out'
        FROM orphans WHERE job.queue = orphans.queue AND job.id = orphans.id RETURNING job.queue),
      forgotten AS (
        DELETE FROM ${table} WHERE (SELECT mine FROM turn) AND ${forgettable} AND ctid = ANY(ARRAY(
          SELECT ctid FROM ${table} WHERE ${forgettable} ORDER BY due_at LIMIT ${mostForgotten} FOR UPDATE SKIP LOCKED)))
      SELECT queue, count(*)::int AS jobs, pg_notify('${channelOf(table)}', queue)::text AS woken
      FROM expired GROUP BY queue`,
    /** `$1` are names of queues. Gives those that are paused. */
    paused: brief(`SELECT queue FROM ${table}_paused WHERE queue = ANY($1::text[])`),
    pause: brief(`WITH paused AS (INSERT INTO ${table}_paused (queue) VALUES ($1) ON CONFLICT (queue) DO NOTHING)
      SELECT pg_notify('${channelOf(table)}', '${pausedPrefix}' || $1)::text AS sent`),
    resume: brief(`WITH resumed AS (DELETE FROM ${table}_paused WHERE queue = $1)
      SELECT pg_notify('${channelOf(table)}', '${pausedPrefix}' || $1)::text AS sent, ${wake}`),
    /**
     * `$2` are ids. Tells all processes of those that ran. A job that is being settled is awaited: it is gone then, or waits and is
     * cancelled.
     */
    cancel: `WITH cancelled AS (
        DELETE FROM ${table} WHERE queue = $1 AND ${ids} AND state IN ('waiting', 'running', 'blocked') RETURNING state, fence)
      SELECT count(*)::int AS jobs, max(CASE WHEN state = 'running'
        THEN pg_notify('${channelOf(table)}', '${messagePrefix}' || $1 || '${separator}' || fence)::text END) AS sent
      FROM cancelled`,
    size: `SELECT ((SELECT count(*) FROM ${table} WHERE queue = $1 AND state = 'waiting')
      + (SELECT count(*) FROM ${table} WHERE queue = $1 AND state = 'blocked'))::int AS jobs`,
    /** `$2` is the id. */
    find: `SELECT ${found} FROM ${table} WHERE queue = $1 AND id = $2 AND state <> 'done'`,
    /** `$2` is the limit, `$3` and `$4` are the date and the id of the dead letter before the page. */
    deadLetters: `SELECT ${found} FROM ${table}
      WHERE ${dead} AND (failed_at, id) > (coalesce($3::timestamptz, '-infinity'), coalesce($4::text, ''))
      ORDER BY ${table}.failed_at, ${table}.id LIMIT $2::int`,
    /** `$2` are ids, `$3` is whether they run from the start. */
    redrive: `WITH redriven AS (
        UPDATE ${table} SET state = 'waiting', attempt = 1, deaths = 0, due_at = clock_timestamp(), failed_at = NULL,
          offer_at = NULL,
          cursor = CASE WHEN $3::boolean THEN NULL ELSE cursor END
        WHERE ${dead} AND ${ids} RETURNING id)
      SELECT count(*)::int AS jobs, max(pg_notify('${channelOf(table)}', $1)::text) AS woken FROM redriven`,
    /** `$2` are ids. */
    discard: `WITH discarded AS (DELETE FROM ${table} WHERE ${dead} AND ${ids} RETURNING id)
      SELECT count(*)::int AS jobs FROM discarded`
  }
}

/** See `statementsOf`. */
export type Statements = ReturnType<typeof statementsOf>
