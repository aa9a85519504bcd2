import type { JobTable } from "../../internal/jobTable.js"

/** The channel on which `NOTIFY` announces rows to be moved, with the name of the queue as the payload. */
export const channelOf = (table: string): string => table

/** How many ids are forgotten in one statement, so that each is short. */
const mostForgotten = 1_000

/** See `statementsOf` for the columns. */
export const outboxTable = (table: string): JobTable => ({
  name: table,
  migrations: [
    `CREATE TABLE IF NOT EXISTS ${table} (
      queue text NOT NULL,
      id text NOT NULL,
      number bigint GENERATED ALWAYS AS IDENTITY,
      payload jsonb NOT NULL,
      cursor jsonb,
      state text NOT NULL DEFAULT 'New',
      claim int NOT NULL DEFAULT 0,
      attempt int NOT NULL DEFAULT 0,
      offered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      offer_at timestamptz NOT NULL,
      failed_at timestamptz,
      error text,
      PRIMARY KEY (queue, id)
    );
    CREATE INDEX IF NOT EXISTS ${table}_offer_at ON ${table} (queue, offer_at, number);
    CREATE INDEX IF NOT EXISTS ${table}_failed_at ON ${table} (queue, failed_at, id) WHERE state = 'Dead'`,
    // A counter in the row began anew when an id was used again. The sequence begins above all counters there are.
    `ALTER TABLE ${table} ALTER claim TYPE bigint;
    CREATE SEQUENCE ${table}_fence OWNED BY ${table}.claim;
    SELECT setval('${table}_fence', 1 + coalesce(max(claim), 0)) FROM ${table}`,
    `ALTER TABLE ${table} ADD COLUMN keep_id_for interval, ADD COLUMN id_free_at timestamptz;
    CREATE INDEX ${table}_id_free_at ON ${table} (id_free_at) WHERE id_free_at IS NOT NULL`,
    `ALTER TABLE ${table} ADD COLUMN moved boolean NOT NULL DEFAULT false`,
    // No index names the state: so a claim, a hand-back and a retry change the row in place, and touch no index.
    `ALTER TABLE ${table} SET (fillfactor = 80);
    CREATE INDEX ${table}_dead ON ${table} (queue, failed_at, id) WHERE failed_at IS NOT NULL;
    DROP INDEX ${table}_failed_at`
  ]
})

/**
 * The table holds every job from its offer until it is acknowledged. The row is the job; the engine holds its id.
 *
 * - `state`: `New`, `Held` (claimed), `HandedBack`, `Failed` (to be retried), `Dead`, or `Done` (acknowledged: nothing but
 *   its id is left, until `id_free_at`).
 * - `claim` is the number of the last claim, which no other claim has. With the state it is the fence: what settles a job
 *   names it.
 * - `attempt` counts claims, without those that came after a hand-back.
 * - `offer_at` is when the row is offered to the engine next, again and again at growing intervals. An engine that holds
 *   the job ignores that; one that has lost its data has the job again.
 * - `moved` is whether the engine was offered the row. A delayed job is not, before it is due.
 *
 * `$1` is the queue everywhere. Times are `clock_timestamp()`: in a transaction that took a while, `now()` is long past.
 */
export const statementsOf = (table: string) => {
  const seconds = (param: string) => `${param}::float8 * interval '1 second'`
  const named = "queue = $1 AND id = ANY($2::text[])"
  const wake = `pg_notify('${channelOf(table)}', $1)::text`
  const mine = "queue = $1 AND id = $2 AND claim = $3::bigint AND state"
  const job = "id, payload::text AS payload, cursor::text AS cursor, state, attempt"
  const letter = `${job}, error, (extract(epoch FROM failed_at) * 1000)::float8 AS failed_at`
  const count = "SELECT count(*)::int AS jobs"
  const open = "state NOT IN ('Dead', 'Done')"
  const forgettable = "id_free_at <= clock_timestamp()"

  return {
    /**
     * `$2` are `{ id, payload }`, `$3` is the delay in seconds, `$4` for how many seconds the ids are kept. The insertion
     * refers to the rows that it replaces, so it comes after them.
     */
    offer: `WITH jobs AS MATERIALIZED (
        SELECT job->>'id' AS id, coalesce(job->'payload', 'null') AS payload, nth
        FROM jsonb_array_elements($2::text::jsonb) WITH ORDINALITY AS jobs (job, nth)),
      forgotten AS (
        DELETE FROM ${table} WHERE $4::float8 > 0 AND queue = $1 AND id = ANY(ARRAY(SELECT id FROM jobs))
          AND ${forgettable} RETURNING id),
      offered AS (
        INSERT INTO ${table} (queue, id, payload, offer_at, keep_id_for)
        SELECT $1::text, id, payload, clock_timestamp() + ${seconds("$3")}, ${seconds("$4")}
        FROM jobs WHERE (SELECT count(*) FROM forgotten) >= 0 ORDER BY nth
        ON CONFLICT (queue, id) DO NOTHING)
      SELECT ${wake}`,
    /**
     * One process at a time: two would split what was offered together, and might move the second part first. Forgets
     * ids that were kept long enough.
     * `$2` is the limit, `$3` and `$4` are the earliest and the latest time of the next offer, in seconds.
     */
    take: `WITH turn AS MATERIALIZED (
        SELECT pg_advisory_xact_lock(hashtextextended('lastcall.${table}.take.' || $1, 0))::text AS mine),
      due AS (
        SELECT id, number FROM ${table}
        WHERE (SELECT mine FROM turn) IS NOT NULL AND queue = $1 AND offer_at <= clock_timestamp()
        ORDER BY offer_at, number LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED),
      forgotten AS (
        DELETE FROM ${table} WHERE ${forgettable} AND ctid = ANY(ARRAY(
          SELECT ctid FROM ${table} WHERE ${forgettable} ORDER BY id_free_at LIMIT ${mostForgotten}
          FOR UPDATE SKIP LOCKED)))
      UPDATE ${table} AS job SET offer_at = clock_timestamp() +
        least(greatest(clock_timestamp() - offered_at, ${seconds("$3")}), ${seconds("$4")}), moved = true
      FROM due WHERE job.queue = $1 AND job.id = due.id RETURNING job.id, job.number::text AS number`,
    /** `$2` are ids that could not be offered. */
    untake: `UPDATE ${table} SET offer_at = clock_timestamp() WHERE ${named} AND ${open}`,
    /** `$2` are ids that the engine may have lost. */
    offerAgain: `WITH lost AS (
        UPDATE ${table} SET offer_at = clock_timestamp() WHERE ${named} AND ${open} RETURNING id)
      SELECT max(${wake}) FROM lost`,
    /** The queues that have rows. */
    queues: `SELECT DISTINCT queue FROM ${table}`,
    /**
     * Offers up to `$2` rows again that the engine was offered before. `$3` is the latest time of the next offer, in seconds:
     * no row that was moved is later, so those of delayed jobs are not read. A locked row is being settled.
     */
    offerMovedAgain: `WITH lost AS (
        UPDATE ${table} SET offer_at = clock_timestamp() WHERE queue = $1 AND id = ANY(ARRAY(
          SELECT id FROM ${table} WHERE queue = $1 AND moved AND ${open}
            AND offer_at > clock_timestamp() AND offer_at <= clock_timestamp() + ${seconds("$3")}
          ORDER BY offer_at, number LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED)) RETURNING id)
      ${count}, max(${wake}) AS woken FROM lost`,
    /** Milliseconds until the next row is to be offered, null when there is none. */
    due: `SELECT (extract(epoch FROM min(offer_at) - clock_timestamp()) * 1000)::float8 AS due FROM ${table}
      WHERE queue = $1 AND offer_at < 'infinity'`,
    /** `$2` are `{ id, payload, attempt }` of jobs that were added to the engine directly. */
    adopt: `INSERT INTO ${table} (queue, id, payload, attempt, offer_at)
      SELECT $1::text, job->>'id', coalesce(job->'payload', 'null'), (job->>'attempt')::int - 1,
        clock_timestamp() + interval '1 minute'
      FROM jsonb_array_elements($2::text::jsonb) AS jobs (job) ON CONFLICT (queue, id) DO NOTHING`,
    /**
     * `$2` are ids. Returns the rows that exist and are not dead, each with the number of its new claim, or without one when
     * another process has locked the row: it has lost the lease, and does not know it yet.
     */
    claim: `WITH present AS (SELECT id FROM ${table} WHERE ${named} AND ${open}),
      free AS (SELECT id FROM ${table} WHERE ${named} AND ${open} FOR NO KEY UPDATE SKIP LOCKED),
      held AS (
        UPDATE ${table} AS job SET state = 'Held', claim = nextval('${table}_fence'),
          attempt = attempt + CASE WHEN state = 'HandedBack' THEN 0 ELSE 1 END
        FROM free WHERE job.queue = $1 AND job.id = free.id
        RETURNING job.id, claim, attempt, payload::text AS payload, cursor::text AS cursor)
      SELECT present.id, claim::text AS claim, attempt, payload, cursor FROM present LEFT JOIN held USING (id)`,
    /** `$2` is the id, `$3` the claim, here and below. */
    ack: `WITH removed AS (DELETE FROM ${table} WHERE ${mine} = 'Held' AND keep_id_for IS NULL RETURNING id),
      kept AS (
        UPDATE ${table} SET state = 'Done', offer_at = 'infinity', id_free_at = clock_timestamp() + keep_id_for,
          payload = 'null', cursor = NULL, error = NULL
        WHERE ${mine} = 'Held' AND keep_id_for IS NOT NULL RETURNING id)
      SELECT id FROM removed UNION ALL SELECT id FROM kept`,
    /** `$4` is the cursor. */
    checkpoint: `UPDATE ${table} SET cursor = $4::text::jsonb WHERE ${mine} = 'Held' RETURNING id`,
    checkpointAndHandBack: `UPDATE ${table} SET cursor = $4::text::jsonb, state = 'HandedBack'
      WHERE ${mine} = 'Held' RETURNING id`,
    /** `$4` is the error. May be repeated until the engine has been updated, too. */
    retry: `UPDATE ${table} SET state = 'Failed', error = $4 WHERE ${mine} IN ('Held', 'Failed') RETURNING id`,
    deadLetter: `UPDATE ${table} SET state = 'Dead', error = $4, offer_at = 'infinity',
        failed_at = date_trunc('milliseconds', clock_timestamp())
      WHERE ${mine} = 'Held' RETURNING id`,
    /** `$2` are ids, `$3` their claims. */
    handBack: `UPDATE ${table} SET state = 'HandedBack'
      WHERE ${named} AND claim = ANY($3::text[]::bigint[]) AND state IN ('Held', 'HandedBack')
      RETURNING claim::text AS claim`,
    size: `${count} FROM ${table} WHERE queue = $1 AND state IN ('New', 'HandedBack', 'Failed')`,
    /** `$2` is the id. */
    find: `SELECT ${job} FROM ${table} WHERE queue = $1 AND id = $2 AND state <> 'Done'`,
    /** `$2` is the id. */
    getDeadLetter: `SELECT ${letter} FROM ${table} WHERE queue = $1 AND id = $2 AND state = 'Dead'`,
    /** `$2` is the limit, `$3` and `$4` are the date and the id of the dead letter before the page. */
    deadLetters: `SELECT ${letter} FROM ${table} WHERE queue = $1 AND state = 'Dead' AND failed_at IS NOT NULL
        AND ($3::timestamptz IS NULL OR (failed_at, id) > ($3::timestamptz, $4::text))
      ORDER BY ${table}.failed_at, ${table}.id LIMIT $2::int`,
    /** `$2` are ids, `$3` is whether they run from the start. */
    redrive: `WITH redriven AS (
        UPDATE ${table} SET state = 'New', attempt = 0, failed_at = NULL, offer_at = clock_timestamp(),
          offered_at = clock_timestamp(), cursor = CASE WHEN $3::boolean THEN NULL ELSE cursor END
        WHERE ${named} AND state = 'Dead' RETURNING id)
      ${count}, max(${wake}) AS woken FROM redriven`,
    /** `$2` are ids. */
    discard: `WITH discarded AS (DELETE FROM ${table} WHERE ${named} AND state = 'Dead' RETURNING id)
      ${count} FROM discarded`
  }
}

/** See `statementsOf`. */
export type Statements = ReturnType<typeof statementsOf>
