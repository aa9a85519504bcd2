import { brief } from "../../../database/contract.js"
import { turnsOf } from "./keyTable.js"

/** A text as PostgreSQL reads it, whatever is in it. */
export const literal = (text: string): string => `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`

/** Whether the queue `$1` has keys whose next job is to be determined. By the index, also while the planner takes the table for a small one. */
export const hasTurns = (table: string): string =>
  `(SELECT number FROM ${turnsOf(table)} WHERE queue = $1 ORDER BY queue, number LIMIT 1) IS NOT NULL`

/** Leaves a turn for each key of the jobs that were `offered`. */
export const turnsOfOffered = (table: string): string =>
  `turns AS (
        INSERT INTO ${turnsOf(table)} (queue, key) SELECT DISTINCT $1::text, key FROM offered WHERE key IS NOT NULL)`

/**
 * Takes up to `limit` turns, oldest first, and makes the first blocked job of each of their keys available, if no other of the key is. Others are woken when
 * there are jobs for them: as many as the caller has `room` for, or delayed ones.
 *
 * - One process at a time, in a statement of its own before the other, as in the statement `take` of a carrier: so the other sees what the process before it
 *   has made available.
 * - Each key costs a search of two indexes, whatever the planner believes of tables whose statistics are old: what would read more is turned off, for this
 *   transaction, and what is looked up for each key is no join.
 * - Turns are taken by their place in the table: by their numbers, the planner may look at all turns of the queue when it takes their table for a small one.
 *   A turn never changes, so it keeps its place.
 * - A key whose first job is locked, because a transaction cancels it, keeps its turn: it is looked at again when that has ended.
 */
export const advanceStatement =
  (table: string, channel: string) =>
  (queue: string, { limit, room }: { readonly limit: number; readonly room: number }): string => {
    const name = literal(queue)
    const off = (...options: ReadonlyArray<string>) =>
      options.map((option) => `set_config('enable_${option}', 'off', true)`).join(" || ")
    return brief(`SELECT FROM (
          SELECT pg_advisory_xact_lock(hashtextextended('lastcall.${table}.advance.' || ${name}, 0))::text
            || ${off("seqscan", "sort")} AS mine OFFSET 0) AS turn
        WHERE mine IS NULL;
      WITH looked AS MATERIALIZED (
        SELECT ctid AS place, key FROM ${turnsOf(table)} WHERE queue = ${name} ORDER BY queue, number LIMIT ${limit}),
      first AS MATERIALIZED (
        SELECT key, id FROM (
          SELECT key, CASE WHEN
            (SELECT 1 FROM ${table} AS active WHERE queue = ${name} AND active.key = keys.key AND active.key IS NOT NULL
              AND state IN ('waiting', 'running') ORDER BY queue, key LIMIT 1) IS NULL
            THEN (SELECT id FROM ${table} AS blocked WHERE queue = ${name} AND blocked.key = keys.key AND state = 'blocked'
              ORDER BY queue, key, number LIMIT 1) END AS id
          FROM (SELECT DISTINCT key FROM looked) AS keys OFFSET 0) AS firsts WHERE id IS NOT NULL),
      free AS MATERIALIZED (
        SELECT id, key FROM (
          SELECT id, key, state FROM ${table} WHERE queue = ${name} AND id = ANY(ARRAY(SELECT id FROM first))
          FOR NO KEY UPDATE SKIP LOCKED OFFSET 0) AS unlocked
        WHERE state = 'blocked'),
      advanced AS (
        UPDATE ${table} SET state = 'waiting' WHERE queue = ${name} AND id = ANY(ARRAY(SELECT id FROM free)) RETURNING due_at),
      taken AS (
        DELETE FROM ${turnsOf(table)} WHERE ctid = ANY(ARRAY(
          SELECT place FROM looked WHERE key NOT IN (SELECT key FROM first EXCEPT SELECT key FROM free))) RETURNING 1)
      SELECT (SELECT count(*) FROM looked)::int AS looked, (SELECT count(*) FROM taken)::int AS taken,
        CASE WHEN count(*) >= ${room} OR bool_or(due_at > clock_timestamp()) THEN pg_notify('${channel}', ${name})::text END AS woken
      FROM advanced`)
  }
