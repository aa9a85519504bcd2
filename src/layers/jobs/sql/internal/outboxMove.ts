/** The table in which `JobSourceOutbox` of earlier versions kept jobs, before they had one table. */
const outbox = "lastcall_outbox"

/** A job of the outbox, the row `job`, as one of the table of jobs. No table of the outbox has all columns: it had migrations, too. */
const columns = `
  job.queue,
  job.id,
  CASE job.state WHEN 'Dead' THEN 'dead' WHEN 'Done' THEN 'done' ELSE 'waiting' END,
  job.payload,
  job.cursor,
  CASE WHEN job.state IN ('New', 'Failed') THEN job.attempt + 1 ELSE greatest(job.attempt, 1) END,
  CASE
    WHEN job.state = 'Done' THEN coalesce((to_jsonb(job)->>'id_free_at')::timestamptz, clock_timestamp())
    WHEN job.state = 'New' AND (to_jsonb(job)->>'moved')::boolean IS NOT TRUE THEN job.offer_at
    ELSE job.offered_at
  END,
  (to_jsonb(job)->>'keep_id_for')::interval,
  job.offered_at,
  job.error,
  job.failed_at`

/**
 * Moves the jobs of the outbox to the table of jobs, if there is an outbox. Jobs that run are available at once, in the same
 * attempt: their holders, processes of the earlier version, find no row and write nothing. What these offer from now on goes to
 * the table of jobs as well.
 */
export const moveOutbox = (table: string): string => {
  const insert = (from: string) =>
    `INSERT INTO ${table} (
      queue, id, state, payload, cursor, attempt, due_at, keep_id_for, created_at, error, failed_at)
    SELECT ${columns} FROM ${from} ON CONFLICT (queue, id) DO NOTHING`
  return `DO $move$ BEGIN
    IF to_regclass('${outbox}') IS NULL THEN RETURN; END IF;
    CREATE FUNCTION ${outbox}_move() RETURNS trigger LANGUAGE plpgsql AS $row$ BEGIN
      ${insert("(SELECT NEW.*) AS job")};
      PERFORM pg_notify('${table}', NEW.queue);
      RETURN NULL;
    END $row$;
    CREATE TRIGGER ${outbox}_move BEFORE INSERT ON ${outbox} FOR EACH ROW EXECUTE FUNCTION ${outbox}_move();
    WITH moved AS (${insert(`(SELECT * FROM ${outbox} ORDER BY number) AS job`)} RETURNING queue, id)
    DELETE FROM ${outbox} WHERE (queue, id) IN (SELECT queue, id FROM moved);
  END $move$`
}
