import { Duration } from "effect"
import { leastKept } from "../../internal/jobEnds.js"
import { dependenciesOf } from "./dependencyTable.js"
import { turnsOfOffered } from "./keyStatements.js"

/**
 * Offers jobs some of which depend on others: `offer` with the keys in `$8`, null for a job without one, whether their ends are announced in `$9`, and
 * in `$10`, `$11` and `$12` what depends on what: the number of the job, from 1, and the queue and the id of one that it depends on, once.
 *
 * - The jobs that they depend on are locked, in one order, before it is looked at how they are: one that is ending is awaited, and one that has not
 *   ended cannot before this has been committed. The end finds what was offered then.
 * - When one of them is not known nothing is offered, and its queue and id are returned. Jobs that are there are not offered again, and need nothing.
 *   Otherwise there is a row, without values, if there is a job to notify of.
 */
export const offerDependentStatement = (
  table: string,
  parts: {
    /** Conditions, and what is common to all statements, see `statementsOf`. */
    readonly forgettable: string
    readonly ids: string
    readonly now: string
  }
): string => {
  const { forgettable, ids, now } = parts
  const seconds = (param: string) => `${param}::float8 * interval '1 second'`
  const known = "NOT EXISTS (SELECT 1 FROM unknown)"
  return `WITH given AS MATERIALIZED (
        SELECT DISTINCT ON (id) id, payload, key, nth
        FROM unnest($2::text[], $3::text[], $8::text[]) WITH ORDINALITY AS job (id, payload, key, nth)
        WHERE NOT EXISTS (SELECT 1 FROM ${table} AS present
          WHERE present.queue = $1 AND present.id = job.id AND NOT (${forgettable}) OFFSET 0)
        ORDER BY id, nth),
      edges AS MATERIALIZED (
        SELECT nth, edge.queue, edge.id FROM unnest($10::int[], $11::text[], $12::text[]) AS edge (nth, queue, id)
        WHERE nth IN (SELECT nth FROM given)),
      locked AS MATERIALIZED (
        SELECT wanted.queue, wanted.id, found.state = 'done' AS done
        FROM (SELECT DISTINCT queue, id FROM edges ORDER BY queue, id) AS wanted, LATERAL (
          SELECT state, due_at FROM ${table} AS job WHERE job.queue = wanted.queue AND job.id = wanted.id
          LIMIT 1 FOR NO KEY UPDATE) AS found
        WHERE NOT (${forgettable})),
      unknown AS MATERIALIZED (
        SELECT queue, id FROM edges EXCEPT SELECT queue, id FROM locked),
      left_of AS MATERIALIZED (
        SELECT nth, queue, id FROM edges JOIN locked USING (queue, id) WHERE NOT done),
      marked AS (
        UPDATE ${table} SET has_dependents = true,
          keep_id_for = greatest(keep_id_for, interval '${Duration.toSeconds(leastKept)} seconds')
        WHERE ${known} AND NOT has_dependents AND queue = ANY(ARRAY(SELECT queue FROM left_of))
          AND id = ANY(ARRAY(SELECT id FROM left_of)) AND (queue, id) IN (SELECT queue, id FROM left_of)),
      forgotten AS (
        DELETE FROM ${table} WHERE ${known} AND $5::float8 IS NOT NULL AND queue = $1 AND ${ids} AND ${forgettable} RETURNING id),
      offered AS (
        INSERT INTO ${table} (queue, id, payload, due_at, keep_id_for, priority, unique_until, awaited, state, key, own_key, waits_for)
        SELECT $1::text, id, payload::jsonb, ${now} + ${seconds("$4")}, ${seconds("$5")}, $6::smallint, ${now} + ${
    seconds("$7")
  },
          $9::boolean, CASE WHEN waits_for > 0 OR key IS NOT NULL THEN 'blocked' ELSE 'waiting' END,
          CASE WHEN waits_for > 0 THEN '' ELSE key END, CASE WHEN waits_for > 0 THEN key END, nullif(waits_for, 0)
        FROM (SELECT given.*, (SELECT count(*)::int FROM left_of WHERE left_of.nth = given.nth) AS waits_for FROM given) AS job
        WHERE ${known} AND (SELECT count(*) FROM forgotten) >= 0 ORDER BY nth
        ON CONFLICT (queue, id) DO NOTHING RETURNING id, number, nullif(key, '') AS key, waits_for),
      ${turnsOfOffered(table)},
      waiting AS (
        INSERT INTO ${dependenciesOf(table)} (queue, id, dependent_queue, dependent_id, dependent_number)
        SELECT left_of.queue, left_of.id, $1::text, offered.id, offered.number
        FROM offered JOIN given ON given.id = offered.id JOIN left_of ON left_of.nth = given.nth)
      SELECT queue, id FROM unknown
      UNION ALL (SELECT NULL, NULL FROM offered WHERE waits_for IS NULL LIMIT 1)`
}
