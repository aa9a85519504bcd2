import { Duration, Predicate } from "effect"
import { brief } from "../../../database/contract.js"
import { leastKept } from "../../internal/jobEnds.js"
import { quietlyEnded } from "./quietEnds.js"

/** PostgreSQL says that this is no boolean, when a job that is acknowledged last in its transaction is not leased any more. */
const leaseIsLost = "lastcall: the lease is lost"

/** Whether this error of the driver is that of `ackLast`. */
export const isLeaseIsLost = (error: unknown): boolean =>
  Predicate.hasProperty(error, "message") && String(error.message).includes(leaseIsLost)

/** The statements about the ends of jobs. */
export const endStatements = (
  table: string,
  parts: {
    /** A condition, and what is common to all statements, see `statementsOf`. */
    readonly ids: string
    readonly leased: string
    readonly bound: (idle: string) => string
  }
) => {
  const { bound, ids, leased } = parts
  const followedBy = (key: string) =>
    `(SELECT 1 FROM ${table} AS blocked WHERE queue = $1 AND blocked.key = ${key} AND state = 'blocked'
          ORDER BY queue, key, number LIMIT 1) IS NOT NULL`
  const announced = `CASE WHEN awaited THEN id END AS ended,
        CASE WHEN key IS NOT NULL THEN ${followedBy(`${table}.key`)} END AS followed`
  const done =
    `state = 'done', due_at = greatest(clock_timestamp() + keep_id_for, unique_until), payload = 'null', cursor = NULL,
          error = NULL, lease_until = NULL`
  return {
    /**
     * Acknowledges the job `$2` of the fence `$3` as the last statement of a transaction, which is sent with its commit: `$4` is the result, `$5` as `$6` below. Fails, so that
     * nothing is committed, when the lease is lost. The row is locked first: what the other parts look for is as it is then, whatever has been committed meanwhile.
     *
     * It is planned once (`transactionEnding`). So it looks for the row by the primary key alone, and for its state afterwards: an index of the running jobs is the
     * smaller one as long as few of them run.
     */
    ackLast: brief(
      `WITH locked AS MATERIALIZED (
        SELECT id, state, keep_id_for IS NOT NULL AS kept FROM ${table} WHERE queue = $1 AND id = $2 AND fence = $3::bigint FOR UPDATE),
      held AS (SELECT id, kept FROM locked WHERE state = 'running'),
      removed AS (DELETE FROM ${table} WHERE queue = $1 AND id = (SELECT id FROM held WHERE NOT kept) RETURNING id, awaited, key),
      kept AS (
        UPDATE ${table} SET ${done}, result = $4::text::jsonb
        WHERE queue = $1 AND id = (SELECT id FROM held WHERE kept) RETURNING id, awaited, key)
      SELECT max(CASE WHEN awaited THEN id END) AS ended,
        coalesce(bool_or(CASE WHEN key IS NOT NULL THEN ${followedBy("settled.key")} END), false) AS followed,
        CASE WHEN $5::boolean THEN set_config('${quietlyEnded(table)}', ARRAY[$3]::text, true) END AS quiet,
        CASE WHEN count(*) = 0 THEN ('${leaseIsLost}: ' || count(*))::boolean END AS held
      FROM (SELECT * FROM removed UNION ALL SELECT * FROM kept) AS settled`
    ),
    /**
     * See `bound` for `$4`. `$5` are the results, as texts, null where there is none. An id that is kept remains as a row of which nothing but the result is
     * left, so that offering it again conflicts. `$6` is whether the caller notifies after the commit, instead of the triggers (`quietlyEnded`): of `ended`, the id of
     * a job whose end is awaited, and if the job is `followed` by another one of its key. The result is found by the fence, in the array itself: with a join the planner may scan the table.
     */
    ack: brief(
      `WITH removed AS (DELETE FROM ${table} WHERE ${leased} AND keep_id_for IS NULL RETURNING fence, ${announced}),
      kept AS (
        UPDATE ${table} SET ${done}, result = ($5::text[])[array_position($3::text[], fence::text)]::jsonb
        WHERE ${leased} AND keep_id_for IS NOT NULL RETURNING fence, ${announced})
      SELECT fence::text AS fence, ended, followed, ${bound("$4")},
        set_config('${quietlyEnded(table)}', CASE WHEN $6::boolean THEN $3::text[]::text ELSE '{}' END, true) AS quiet
      FROM (SELECT * FROM removed UNION ALL SELECT * FROM kept) AS settled`
    ),
    /**
     * `$2` are ids. Gives the states of their jobs, and has the ends of those that have not ended announced, and kept. A job that is being settled at this
     * moment is not waited for: it has ended at the next look.
     */
    ends: brief(`WITH awaited AS (
        UPDATE ${table} SET awaited = true, keep_id_for = greatest(keep_id_for, interval '${
      Duration.toSeconds(leastKept)
    } seconds')
        WHERE ctid = ANY(ARRAY(
          SELECT ctid FROM ${table} WHERE queue = $1 AND ${ids} AND NOT awaited AND state IN ('waiting', 'blocked', 'running')
          FOR NO KEY UPDATE SKIP LOCKED)))
      SELECT id, state, result::text AS result, error, failure::text AS failure FROM ${table} WHERE queue = $1 AND ${ids}`)
  }
}
