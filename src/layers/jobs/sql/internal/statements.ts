/**
 * How often pg-boss would let a job be claimed again. Out of reach: when to give up is the pool's decision.
 *
 * A hand-back takes the next number of `retry_count`, as every claim does, and raises `retry_limit` along with it. So
 * what the limit is above this is the number of hand-backs, and what is left of `retry_count` are attempts.
 *
 * Never change it: it is what the jobs in everybody's tables were stored with.
 */
export const retryLimit = 1_000_000_000

/** Where it is said that there may be jobs, with the name of the queue as the payload. */
export const channelOf = (schema: string): string => `${schema}_jobs`

/**
 * The statements that pg-boss has no operation for. Jobs are named by `$1`, the queue, and `$2`, an array of
 * `{ id, token }`, where the token is the job's `retry_count`, which every claim raises. Together with the state that
 * is the fence: a lease that was handed back, or ran out, or was given to somebody else, matches nothing.
 *
 * Times are `clock_timestamp()`, not `now()`: in a transaction that took a while, the latter is long past.
 */
export const statementsOf = (schema: string) => {
  // Where pg-boss keeps the jobs of queues that have no partition of their own, as none of ours has. Naming it instead
  // of the table it is part of spares the planner a third of its work.
  const table = `${schema}.job_common`
  const leased = `state = 'active' AND name = $1 AND (id, retry_count) IN (
    SELECT id, token FROM json_to_recordset($2::text::json) AS lease (id uuid, token int))`
  const waiting = `name = $1 AND NOT blocked AND state`
  const error = (param: string) => `jsonb_build_object('error', ${param}::text)`
  const wake = (queue: string) => `pg_notify('${channelOf(schema)}', ${queue})`
  /** How many leases were settled, and which: each as `id token`. */
  const which = `count(*)::int AS jobs, coalesce(json_agg(id || ' ' || retry_count), '[]') AS leases`
  /** Changes leased jobs, says which, and wakes everybody when that makes jobs available. */
  const settle = (changes: string, options: { readonly wakes: boolean }) =>
    `WITH settled AS (UPDATE ${table} SET ${changes} WHERE ${leased} RETURNING id, retry_count)
    SELECT ${which}${options.wakes ? `, max(${wake("$1")}::text) AS woken` : ""} FROM settled`
  // started_on stays: pg-boss raises retry_count for jobs that have one, and without that the stale holder's fence
  // would match the next claim.
  const handBack = "state = 'retry', retry_limit = retry_limit + 1, heartbeat_on = NULL"
  const cursor = "data = jsonb_set(data, '{cursor}', $3::text::jsonb)"
  const dead = "name = $1 AND state = 'failed'"
  const named = "id IN (SELECT json_array_elements_text($2::text::json)::uuid)"
  const found = `id, data, state, retry_count, retry_limit, output->>'error' AS error,
    (extract(epoch FROM completed_on) * 1000)::float8 AS failed_at`

  return {
    /**
     * `$2` are `{ id, data }`, `$3` is the delay in seconds, `$4` the lease in seconds. pg-boss's own gives all jobs of
     * a transaction the same age. Here each is a microsecond younger than the one before it, so they come in order,
     * and their data says so, in microseconds: drivers round dates to milliseconds.
     */
    offer: `WITH jobs AS (
        SELECT job, clock_timestamp() + nth * interval '1 microsecond' AS at
        FROM jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS jobs (job, nth)),
      offered AS (
        INSERT INTO ${table}
          (id, name, data, policy, retry_limit, heartbeat_seconds, created_on, start_after)
        SELECT (job->>'id')::uuid, $1::text, job->'data' || jsonb_build_object('at', extract(epoch FROM at) * 1000000),
          'standard', ${retryLimit}, $4::int, at, now() + $3::float8 * interval '1 second'
        FROM jobs
        ON CONFLICT (name, id) DO NOTHING)
    SELECT ${wake("$1")}::text AS woken`,
    ack:
      `WITH settled AS (DELETE FROM ${table} WHERE ${leased} RETURNING id, retry_count) SELECT ${which} FROM settled`,
    handBack: settle(handBack, { wakes: true }),
    /** `$3` is the cursor. */
    checkpoint: settle(cursor, { wakes: false }),
    checkpointAndHandBack: settle(`${cursor}, ${handBack}`, { wakes: true }),
    /** `$3` is the error, `$4` the delay in seconds. */
    retry: settle(
      `state = 'retry', heartbeat_on = NULL, output = ${error("$3")},
      start_after = clock_timestamp() + $4::float8 * interval '1 second'`,
      { wakes: true }
    ),
    /** `$3` is the error. */
    deadLetter: settle(
      `state = 'failed', heartbeat_on = NULL, output = ${error("$3")},
      completed_on = date_trunc('milliseconds', clock_timestamp())`,
      { wakes: false }
    ),
    /**
     * Renews, and returns those that are still leased, `{ id, token }`. A job whose row is locked is being settled at this
     * moment: it needs no renewal (`expire` passes it over, too), and waiting for it would starve the others.
     */
    renew: `WITH leased AS (SELECT id, retry_count AS token FROM ${table} WHERE ${leased}),
      free AS (SELECT name, id FROM ${table} WHERE ${leased} FOR NO KEY UPDATE SKIP LOCKED),
      renewed AS (
        UPDATE ${table} AS job SET heartbeat_on = clock_timestamp()
        FROM free WHERE job.name = free.name AND job.id = free.id)
    SELECT id, token FROM leased`,
    /** The end of a transaction that keeps its job: however long it took, the lease starts now. */
    touch: `UPDATE ${table} SET heartbeat_on = clock_timestamp() WHERE ${leased}`,
    /**
     * `$1` are the names of queues. Makes jobs available whose leases ran out, and says how many of which queue. One
     * process at a time: who does not get the lock has nothing to do.
     */
    expire: `WITH turn AS MATERIALIZED (
        SELECT pg_try_advisory_xact_lock(hashtextextended('lastcall.${schema}.expire', 0)) AS mine),
      dead AS (
        SELECT name, id FROM ${table}
        WHERE (SELECT mine FROM turn) AND state = 'active'
          AND name IN (SELECT json_array_elements_text($1::text::json))
          AND heartbeat_on + heartbeat_seconds * interval '1 second' < clock_timestamp()
        FOR NO KEY UPDATE SKIP LOCKED),
      expired AS (
        UPDATE ${table} AS job
        SET state = 'retry', heartbeat_on = NULL, output = ${error("'the lease ran out'")}
        FROM dead WHERE job.name = dead.name AND job.id = dead.id RETURNING job.name)
    SELECT name, count(*)::int AS jobs, ${wake("name")}::text AS woken FROM expired GROUP BY name`,
    /** Milliseconds until the next job is due: negative when there is one, null when there is none to come. */
    due: `SELECT extract(epoch FROM least(
        (SELECT min(start_after) FROM ${table} WHERE ${waiting} = 'created'),
        (SELECT min(start_after) FROM ${table} WHERE ${waiting} = 'retry')
      ) - clock_timestamp())::float8 * 1000 AS due`,
    size: `SELECT count(*)::int AS jobs FROM ${table} WHERE name = $1 AND state IN ('created', 'retry')`,
    /** `$2` is the id. */
    find: `SELECT ${found} FROM ${table} WHERE name = $1 AND id = $2::uuid`,
    /** `$2` is the limit, `$3` and `$4` say after which one, by its date and id. */
    deadLetters: `SELECT ${found} FROM ${table}
      WHERE ${dead} AND ($3::timestamptz IS NULL OR (completed_on, id) > ($3::timestamptz, $4::uuid))
      ORDER BY completed_on, id LIMIT $2::int`,
    /** `$2` are ids, `$3` says whether from the start. The next claim takes the next number, and is the first attempt. */
    redrive: `WITH retried AS (
        UPDATE ${table} SET state = 'retry', retry_limit = ${retryLimit} + retry_count + 1, completed_on = NULL,
          start_after = clock_timestamp(), data = CASE WHEN $3::boolean THEN data - 'cursor' ELSE data END
        WHERE ${dead} AND ${named} RETURNING id)
    SELECT count(*)::int AS jobs, max(${wake("$1")}::text) AS woken FROM retried`,
    /** `$2` are ids. */
    discardDead: `WITH discarded AS (DELETE FROM ${table} WHERE ${dead} AND ${named} RETURNING id)
    SELECT count(*)::int AS jobs FROM discarded`
  }
}

/** See `statementsOf`. */
export type Statements = ReturnType<typeof statementsOf>
