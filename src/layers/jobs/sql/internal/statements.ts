import type { JobTable } from "../../internal/jobTable.js"

/** The channel on which `NOTIFY` announces that there may be jobs, with the name of the queue as the payload. */
export const channelOf = (table: string): string => table

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
    CREATE INDEX ${table}_orphans ON ${table} (queue, due_at, number) WHERE state = 'waiting' AND deaths > 0`
  ]
})

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
  const forgettable = `state = 'done' AND due_at <= ${now}`
  /** Evaluated once, and only when there is a row to return. */
  const wake = `(SELECT pg_notify('${channelOf(table)}', $1))::text AS woken`
  /** Changes leased jobs, gives their fences, and wakes all processes when that makes jobs available. */
  const settle = (changes: string, options: { readonly wakes: boolean }) =>
    `WITH settled AS (UPDATE ${table} SET ${changes} WHERE ${leased} RETURNING fence)
    SELECT fence::text AS fence${options.wakes ? `, ${wake}` : ""} FROM settled`
  const handBack = "state = 'waiting', lease_until = NULL"
  const cursor = "cursor = $4::text::jsonb"
  const job = "id, payload::text AS payload, cursor::text AS cursor, attempt"
  const found = `${job}, state, error, (extract(epoch FROM failed_at) * 1000)::float8 AS failed_at`

  return {
    /**
     * `$2` are ids, `$3` payloads, `$4` the delay in seconds, `$5` for how many seconds the ids are kept. Jobs are numbered
     * in the order in which they are given. The insertion refers to the rows that it replaces, so it comes after them.
     */
    offer: `WITH forgotten AS (
        DELETE FROM ${table} WHERE $5::float8 > 0 AND queue = $1 AND ${ids} AND ${forgettable} RETURNING id),
      offered AS (
        INSERT INTO ${table} (queue, id, payload, due_at, keep_id_for)
        SELECT $1::text, id, payload::jsonb, ${now} + $4::float8 * interval '1 second', $5::float8 * interval '1 second'
        FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS job (id, payload, nth)
        WHERE (SELECT count(*) FROM forgotten) >= 0 ORDER BY nth
        ON CONFLICT (queue, id) DO NOTHING RETURNING id)
      SELECT ${wake} FROM offered LIMIT 1`,
    /** `$2` is the limit, `$3` the lease in seconds, `$4` whether an orphan may be among the jobs. */
    claim: `WITH orphan AS MATERIALIZED (
        SELECT id FROM ${table} WHERE $4::boolean AND queue = $1 AND state = 'waiting' AND deaths > 0 AND due_at <= ${now}
        ORDER BY due_at, number LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED),
      due AS MATERIALIZED (
        SELECT id FROM ${table} WHERE queue = $1 AND state = 'waiting' AND deaths = 0 AND due_at <= ${now}
        ORDER BY due_at, number LIMIT $2::int - (SELECT count(*) FROM orphan) FOR NO KEY UPDATE SKIP LOCKED),
      claimed AS (
        UPDATE ${table} SET state = 'running', fence = nextval('${table}_fence'), lease_until = ${after("$3")}
        WHERE queue = $1 AND id = ANY(ARRAY(SELECT id FROM orphan UNION ALL SELECT id FROM due))
        RETURNING ${job}, fence, deaths, due_at, number)
      SELECT id, payload, cursor, attempt, deaths > 0 AS orphan, fence::text AS fence FROM claimed ORDER BY due_at, number`,
    /**
     * Milliseconds until the next job is due, negative when it is overdue. No row when there is none to come. `$2` is whether
     * it may be an orphan.
     */
    due: `SELECT (extract(epoch FROM due_at - clock_timestamp()) * 1000)::float8 AS due
      FROM ${table} WHERE queue = $1 AND state = 'waiting' AND ($2::boolean OR deaths = 0) ORDER BY due_at, number LIMIT 1`,
    /** An id that is kept remains as a row of which nothing else is left, so that offering it again conflicts. */
    ack: `WITH removed AS (DELETE FROM ${table} WHERE ${leased} AND keep_id_for IS NULL RETURNING fence),
      kept AS (
        UPDATE ${table} SET state = 'done', due_at = clock_timestamp() + keep_id_for, payload = 'null', cursor = NULL,
          error = NULL, lease_until = NULL
        WHERE ${leased} AND keep_id_for IS NOT NULL RETURNING fence)
      SELECT fence::text AS fence FROM removed UNION ALL SELECT fence::text FROM kept`,
    handBack: settle(handBack, { wakes: true }),
    /** `$4` is the cursor. */
    checkpoint: settle(cursor, { wakes: false }),
    checkpointAndHandBack: settle(`${cursor}, ${handBack}`, { wakes: true }),
    /** `$4` is the error, `$5` the delay in seconds. */
    retry: settle(`${handBack}, attempt = attempt + 1, error = $4, due_at = ${after("$5")}`, { wakes: true }),
    /** `$4` is the error. To the millisecond, as pages of dead letters name it. */
    deadLetter: settle(
      `state = 'dead', lease_until = NULL, error = $4, failed_at = date_trunc('milliseconds', clock_timestamp())`,
      { wakes: false }
    ),
    /**
     * `$4` is the lease in seconds. Gives the fences of all that are still leased. A job whose row is locked is being
     * settled at this moment: it needs no renewal (`reap` skips it, too), and to wait for it would starve the others.
     */
    renew: `WITH leased AS (SELECT fence FROM ${table} WHERE ${leased}),
      free AS MATERIALIZED (SELECT id FROM ${table} WHERE ${leased} FOR NO KEY UPDATE SKIP LOCKED),
      renewed AS (
        UPDATE ${table} SET lease_until = ${after("$4")} WHERE queue = $1 AND id = ANY(ARRAY(SELECT id FROM free)))
      SELECT fence::text AS fence FROM leased`,
    /** `$4` is the lease in seconds. Waits for the row, then lets the lease begin anew. */
    touch: `UPDATE ${table} SET lease_until = ${after("$4")} WHERE ${leased}`,
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
        SET ${handBack}, attempt = attempt + 1, deaths = deaths + 1, error = 'the lease ran out'
        FROM orphans WHERE job.queue = orphans.queue AND job.id = orphans.id RETURNING job.queue),
      forgotten AS (
        DELETE FROM ${table} WHERE (SELECT mine FROM turn) AND ${forgettable} AND ctid = ANY(ARRAY(
          SELECT ctid FROM ${table} WHERE ${forgettable} ORDER BY due_at LIMIT ${mostForgotten} FOR UPDATE SKIP LOCKED)))
      SELECT queue, count(*)::int AS jobs, pg_notify('${channelOf(table)}', queue)::text AS woken
      FROM expired GROUP BY queue`,
    size: `SELECT count(*)::int AS jobs FROM ${table} WHERE queue = $1 AND state = 'waiting'`,
    /** `$2` is the id. */
    find: `SELECT ${found} FROM ${table} WHERE queue = $1 AND id = $2 AND state <> 'done'`,
    /** `$2` is the limit, `$3` and `$4` are the date and the id of the dead letter before the page. */
    deadLetters: `SELECT ${found} FROM ${table}
      WHERE ${dead} AND (failed_at, id) > (coalesce($3::timestamptz, '-infinity'), coalesce($4::text, ''))
      ORDER BY ${table}.failed_at, ${table}.id LIMIT $2::int`,
    /** `$2` are ids, `$3` is whether they run from the start. */
    redrive: `WITH redriven AS (
        UPDATE ${table} SET state = 'waiting', attempt = 1, deaths = 0, due_at = clock_timestamp(), failed_at = NULL,
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
