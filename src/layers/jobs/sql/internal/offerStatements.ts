import { turnsOfOffered } from "./keyStatements.js"

/** The statements that offer jobs. */
export const offerStatements = (
  table: string,
  parts: {
    /** Conditions, and what is common to all statements, see `statementsOf`. */
    readonly forgettable: string
    readonly ids: string
    readonly now: string
  }
) => {
  const { forgettable, ids, now } = parts
  const offer = (keyed: boolean, awaited: boolean) =>
    `WITH forgotten AS (
        DELETE FROM ${table} WHERE $5::float8 IS NOT NULL AND queue = $1 AND ${ids} AND ${forgettable} RETURNING id),
      offered AS (
        INSERT INTO ${table} (queue, id, payload, due_at, keep_id_for, priority, unique_until${
      keyed ? ", key, state" : ""
    }${awaited ? ", awaited" : ""})
        SELECT $1::text, id, payload::jsonb, ${now} + $4::float8 * interval '1 second', $5::float8 * interval '1 second',
          $6::smallint, ${now} + $7::float8 * interval '1 second'${
      keyed ? ", key, CASE WHEN key IS NULL THEN 'waiting' ELSE 'blocked' END" : ""
    }${awaited ? ", true" : ""}
        FROM unnest($2::text[], $3::text[]${keyed ? ", $8::text[]" : ""}) WITH ORDINALITY AS job (id, payload${
      keyed ? ", key" : ""
    }, nth)
        WHERE (SELECT count(*) FROM forgotten) >= 0 ORDER BY nth
        ON CONFLICT (queue, id) DO NOTHING RETURNING id${keyed ? ", key" : ""})${
      keyed ? `,\n      ${turnsOfOffered(table)}` : ""
    }
      SELECT true AS offered FROM offered LIMIT 1`
  return {
    /**
     * `$2` are ids, `$3` payloads, `$4` the delay in seconds, `$5` for how many seconds the ids are kept, `$6` the priority, `$7` for how
     * many seconds the ids are taken in any case.
     * Jobs are numbered in the order in which they are given. The insertion refers to the rows that it replaces, so it comes after
     * them. Gives a row if there is a job to notify of: after the commit, see `makeNotifier`.
     */
    offer: offer(false, false),
    /** `offer` of jobs with keys, `$8`, null for a job without one. */
    offerKeyed: offer(true, false),
    /** `offer` of jobs whose ends are announced. */
    offerAwaited: offer(false, true),
    offerKeyedAwaited: offer(true, true)
  }
}
