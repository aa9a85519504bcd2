import type { JobTable } from "../../internal/jobTable.js"
import { keyedPrefix, turnsOf } from "./keyTable.js"

/** The table of which job waits for which. */
export const dependenciesOf = (table: string): string => `${table}_dependencies`

/**
 * Jobs that wait for others to succeed, as the table itself keeps them.
 *
 * - A job that depends on others that have not ended is `blocked`, with their number in `waits_for`. Until there are none its key is the empty text, which no
 *   job is offered with, and its own one is in `own_key`: so whatever looks for the next job of a key does not find it, and it is listed, counted and cancelled as
 *   others that are blocked, also by processes of the version before.
 * - A job that others depend on has `has_dependents`, and keeps its id, so that only one that is gone is deleted before it is `done`. Other jobs cost a
 *   comparison.
 * - Triggers release, whatever ends a job: the row says in which transaction, and at its commit the dependents of all jobs that have ended in it are locked in
 *   one order, so that transactions which end several jobs cannot lock each other out, and for no longer than the commit takes.
 */
export const dependencyMigration = (table: string): JobTable["migrations"][number] => {
  const dependencies = dependenciesOf(table)
  return `ALTER TABLE ${table} ADD COLUMN has_dependents boolean NOT NULL DEFAULT false, ADD COLUMN waits_for int,
    ADD COLUMN own_key text COLLATE "C";
  CREATE TABLE ${dependencies} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    dependent_queue text COLLATE "C" NOT NULL,
    dependent_id text COLLATE "C" NOT NULL,
    dependent_number bigint NOT NULL,
    ended_in bigint,
    gone boolean
  );
  CREATE INDEX ${dependencies}_job ON ${dependencies} (queue, id);
  CREATE INDEX ${dependencies}_ended ON ${dependencies} (ended_in) WHERE ended_in IS NOT NULL;
  CREATE FUNCTION ${table}_dependency_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$ BEGIN
    UPDATE ${dependencies} SET ended_in = txid_current(), gone = TG_OP = 'DELETE' WHERE queue = OLD.queue AND id = OLD.id;
    RETURN NULL;
  END $ended$;
  CREATE TRIGGER ${table}_dependency_succeeded AFTER UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.has_dependents AND NEW.state = 'done') EXECUTE FUNCTION ${table}_dependency_ended();
  CREATE TRIGGER ${table}_dependency_removed AFTER DELETE ON ${table} FOR EACH ROW
    WHEN (OLD.has_dependents AND OLD.state <> 'done') EXECUTE FUNCTION ${table}_dependency_ended();
  CREATE FUNCTION ${table}_release() RETURNS trigger LANGUAGE plpgsql AS $release$
  DECLARE
    ended record;
    released record;
  BEGIN
    FOR ended IN
      WITH all_ended AS (DELETE FROM ${dependencies} WHERE ended_in = txid_current() RETURNING *)
      SELECT dependent_queue AS queue, dependent_id AS id, dependent_number AS number, count(*)::int AS jobs,
        (array_agg('it depends on the job ' || id || ' of the queue ' || queue || ', which is gone: cancelled, or its dead letter discarded'
          ORDER BY all_ended.number) FILTER (WHERE gone))[1] AS error
      FROM all_ended GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    LOOP
      UPDATE ${table} AS job SET waits_for = waits_for - ended.jobs,
        state = CASE WHEN state <> 'blocked' THEN state WHEN ended.error IS NOT NULL THEN 'dead'
          WHEN waits_for > ended.jobs OR own_key IS NOT NULL THEN 'blocked' ELSE 'waiting' END,
        key = CASE WHEN waits_for > ended.jobs AND ended.error IS NULL THEN key ELSE own_key END,
        due_at = CASE WHEN waits_for > ended.jobs THEN due_at ELSE greatest(due_at, clock_timestamp()) END,
        error = CASE WHEN state = 'blocked' THEN coalesce(ended.error, error) ELSE error END,
        failed_at = CASE WHEN state = 'blocked' AND ended.error IS NOT NULL
          THEN date_trunc('milliseconds', clock_timestamp()) ELSE failed_at END
      WHERE queue = ended.queue AND id = ended.id AND number = ended.number AND waits_for > 0
      RETURNING state, key, waits_for INTO released;
      IF FOUND AND released.state = 'waiting' THEN
        PERFORM pg_notify('${table}', ended.queue);
      ELSIF FOUND AND released.state = 'blocked' AND released.waits_for = 0 THEN
        INSERT INTO ${turnsOf(table)} (queue, key) VALUES (ended.queue, released.key);
        PERFORM pg_notify('${table}', '${keyedPrefix}' || ended.queue);
      END IF;
    END LOOP;
    RETURN NULL;
  END $release$;
  CREATE CONSTRAINT TRIGGER ${table}_dependents_released AFTER UPDATE ON ${dependencies} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.ended_in IS NOT NULL) EXECUTE FUNCTION ${table}_release();
  CREATE FUNCTION ${table}_wait_again() RETURNS trigger LANGUAGE plpgsql AS $again$ BEGIN
    NEW.state := 'blocked';
    NEW.key := '';
    RETURN NEW;
  END $again$;
  CREATE TRIGGER ${table}_dependent_redriven BEFORE UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.waits_for > 0 AND OLD.state = 'dead' AND NEW.state = 'waiting') EXECUTE FUNCTION ${table}_wait_again()`
}
