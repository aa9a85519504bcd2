import { brief } from "../../../database/contract.js"
import type { JobTable } from "../../internal/jobTable.js"
import { hasTurns, literal } from "./keyStatements.js"
import { moveOutbox } from "./outboxMove.js"
import { channelOf, defaultTable, unpausedIn } from "./statements.js"

/**
 * What a carrier needs of the table of jobs besides the column `offer_at`. Apart from the table's own migrations: without
 * a carrier the index would only cost.
 */
export const carrierTable = (table: string): JobTable => ({
  name: `${table}_carrier`,
  migrations: [
    `CREATE INDEX ${table}_offer ON ${table} (queue, coalesce(offer_at, due_at), number)
      WHERE state = 'waiting' AND deaths = 0`,
    // The outbox belongs to the table that a source has by default.
    table === defaultTable ? moveOutbox(table) : "SELECT 1"
  ]
})

/**
 * Statements that keep a carrier supplied with the ids of waiting jobs; `$1` is the queue everywhere.
 *
 * - A waiting row is to be offered at `offer_at`: `NULL` until it was offered, which means when it is due; `-infinity` when it
 *   is to be offered before the others. Whatever makes a job wait sets it to one of these. An offer sets it to when the row
 *   is offered again unless it is claimed.
 * - Orphans are not offered: a claim takes them from the table, one at a time.
 */
export const carrierStatementsOf = (table: string) => {
  const now = "(SELECT clock_timestamp())"
  const seconds = (param: string) => `${param}::float8 * interval '1 second'`
  const offerAt = "coalesce(offer_at, due_at)"
  const waiting = "queue = $1 AND state = 'waiting' AND deaths = 0"
  const orphans = "queue = $1 AND state = 'waiting' AND deaths > 0"
  const wake = `pg_notify('${channelOf(table)}', $1)::text`
  /** The rows of a condition that are not locked: what has locked one decides what becomes of it. */
  const idsOf = (condition: string) =>
    `id = ANY(ARRAY(SELECT id FROM ${table} WHERE ${condition} FOR NO KEY UPDATE SKIP LOCKED))`

  return {
    /**
     * Takes up to `limit` rows that are to be offered, none while the queue is paused, and says of each whether before the others. One process at a time: two
     * would split what was offered together, and might offer the second part first. `earliest` and `latest` bound the time of the next offer, in seconds.
     *
     * The turn is a statement of its own, in one transaction with the other and without rows, so that the other sees what the process before it
     * has taken. One statement would see the rows as they were when it began to wait: it would lock them, find them taken, and a claim
     * meanwhile would pass over them. A text of two statements has no values, hence the literals.
     */
    take: (queue: string, limit: number, earliest: number, latest: number) => {
      const name = literal(queue)
      const of = (condition: string) => condition.replaceAll("$1", () => name)
      return brief(`SELECT FROM (
          SELECT pg_advisory_xact_lock(hashtextextended('lastcall.${table}.take.' || ${name}, 0))::text AS mine OFFSET 0) AS turn
        WHERE mine IS NULL;
        WITH due AS MATERIALIZED (
          SELECT id, number, priority, ${offerAt} AS at FROM ${table}
          WHERE ${of(unpausedIn(table))} AND ${of(waiting)} AND due_at <= ${now} AND ${offerAt} <= ${now}
          ORDER BY ${offerAt}, number LIMIT ${limit} FOR NO KEY UPDATE SKIP LOCKED),
        taken AS (
          UPDATE ${table} SET offer_at =
            clock_timestamp() + least(greatest(clock_timestamp() - due_at, ${seconds(`${earliest}`)}), ${
        seconds(`${latest}`)
      })
          WHERE queue = ${name} AND id = ANY(ARRAY(SELECT id FROM due)))
        SELECT id, priority, at = '-infinity' AS first FROM due ORDER BY at, number`)
    },
    /** `$2` are ids that could not be offered. */
    untake: `UPDATE ${table} SET offer_at = NULL WHERE queue = $1 AND ${idsOf(`${waiting} AND id = ANY($2::text[])`)}`,
    /** `$2` are ids that were delivered and not claimed. Those that can be claimed after all are to be offered again. */
    offerAgain: brief(`WITH available AS (
        UPDATE ${table} SET offer_at = '-infinity'
        WHERE queue = $1 AND ${idsOf(`${waiting} AND due_at <= ${now} AND id = ANY($2::text[])`)} RETURNING id)
      SELECT max(${wake}) FROM available`),
    /**
     * Milliseconds until the next row is to be offered, or the next orphan is due; null when there is none. And whether
     * an orphan is due, and keys have turns. No row while the queue is paused.
     */
    due: brief(
      `SELECT CASE WHEN at <= ${now} THEN 0 ELSE (extract(epoch FROM at - clock_timestamp()) * 1000)::float8 END AS due, orphan,
        ${hasTurns(table)} AS turns
      FROM (SELECT
        least(
          (SELECT ${offerAt} FROM ${table} WHERE ${waiting} ORDER BY ${offerAt}, number LIMIT 1),
          (SELECT due_at FROM ${table} WHERE ${orphans} AND due_at > ${now} ORDER BY due_at, number LIMIT 1)) AS at,
        EXISTS (SELECT 1 FROM ${table} WHERE ${orphans} AND due_at <= ${now}) AS orphan) AS next
      WHERE ${unpausedIn(table)}`
    ),
    /**
     * Gives jobs that were added to the carrier directly a row. `$2` are ids, `$3` payloads, `$4` attempts, `$5` for how
     * many seconds the ids are kept: so long may the carrier miss the acknowledgement without running one twice. `$6` are
     * errors, of those that are dead letters from the start.
     */
    adopt: `INSERT INTO ${table} (queue, id, payload, attempt, due_at, keep_id_for, error, state, failed_at)
      SELECT $1::text, id, payload::jsonb, attempt, ${now}, ${seconds("$5")}, error,
        CASE WHEN error IS NULL THEN 'waiting' ELSE 'dead' END,
        CASE WHEN error IS NULL THEN NULL ELSE date_trunc('milliseconds', clock_timestamp()) END
      FROM unnest($2::text[], $3::text[], $4::int[], $6::text[]) WITH ORDINALITY AS job (id, payload, attempt, error, nth)
      ORDER BY nth
      ON CONFLICT (queue, id) DO NOTHING`,
    /** The queues that have rows. */
    queues: `SELECT DISTINCT queue FROM ${table}`,
    /** Has up to `$2` rows offered again that were offered. `$3` is the latest time of the next offer, in seconds. */
    offerAllAgain: `WITH lost AS (
        UPDATE ${table} SET offer_at = NULL WHERE queue = $1 AND id = ANY(ARRAY(
          SELECT id FROM ${table} WHERE ${waiting} AND offer_at IS NOT NULL
            AND ${offerAt} > ${now} AND ${offerAt} <= ${now} + ${seconds("$3")}
          ORDER BY ${offerAt}, number LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED)) RETURNING id)
      SELECT count(*)::int AS jobs, max(${wake}) AS woken FROM lost`
  }
}

/** See `carrierStatementsOf`. */
export type CarrierStatements = ReturnType<typeof carrierStatementsOf>
