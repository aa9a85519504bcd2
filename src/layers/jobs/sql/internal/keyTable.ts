import type { JobTable } from "../../internal/jobTable.js"

/** Precedes the name of a queue in the payload of a notification when the turn of one of its keys has come. */
export const keyedPrefix = "keyed "

/** The table of the keys whose next job is to be determined. */
export const turnsOf = (table: string): string => `${table}_turns`

/** What the triggers run: leaves the turn of a key, and notifies unless `quiet` is true. */
export const turnFunction = (table: string, quiet = "false"): string =>
  `CREATE OR REPLACE FUNCTION ${table}_turn() RETURNS trigger LANGUAGE plpgsql AS $turn$ BEGIN
    INSERT INTO ${turnsOf(table)} (queue, key) VALUES (OLD.queue, OLD.key);
    IF TG_WHEN = 'BEFORE' THEN NEW.state := 'blocked'; END IF;
    IF ${quiet} THEN RETURN NEW; END IF;
    -- A job that is not visible yet notifies when it is offered.
    IF TG_WHEN = 'BEFORE' OR EXISTS (
      SELECT 1 FROM ${table} WHERE queue = OLD.queue AND key = OLD.key AND state = 'blocked') THEN
      PERFORM pg_notify('${table}', '${keyedPrefix}' || OLD.queue);
    END IF;
    RETURN NEW;
  END $turn$`

/**
 * Order and mutual exclusion by key, as the table itself keeps them.
 *
 * - A job with a key is `blocked` until its turn comes. Of the others of its key at most one waits or runs: a unique index refuses more. So claims and
 *   carriers, which look at jobs that wait, need not know of keys.
 * - Whatever may give a key its turn leaves a row in the table of turns: an offer, the end of the job that waited or ran, a redrive. It is visible once
 *   that has been committed. `advance` takes the row after that, and sees what was committed with it, so no turn is missed.
 * - Triggers leave the rows of ends and redrives, whatever ends or redrives a job: also processes of the version before, and a job that is cancelled.
 */
export const keyMigration = (table: string): JobTable["migrations"][number] =>
  `ALTER TABLE ${table} ADD COLUMN key text COLLATE "C",
    DROP CONSTRAINT ${table}_state_check,
    ADD CONSTRAINT ${table}_state_check CHECK (state IN ('waiting', 'running', 'dead', 'done', 'blocked')) NOT VALID;
  CREATE UNIQUE INDEX ${table}_active ON ${table} (queue, key) WHERE key IS NOT NULL AND state IN ('waiting', 'running');
  CREATE INDEX ${table}_blocked ON ${table} (queue, key, number) WHERE state = 'blocked';
  CREATE TABLE ${turnsOf(table)} (
    queue text COLLATE "C" NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (queue, number)
  );
  ${turnFunction(table)};
  CREATE TRIGGER ${table}_key_redriven BEFORE UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.key IS NOT NULL AND OLD.state = 'dead' AND NEW.state = 'waiting') EXECUTE FUNCTION ${table}_turn();
  CREATE TRIGGER ${table}_key_ended AFTER UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.key IS NOT NULL AND OLD.state IN ('waiting', 'running') AND NEW.state NOT IN ('waiting', 'running'))
    EXECUTE FUNCTION ${table}_turn();
  CREATE TRIGGER ${table}_key_removed AFTER DELETE ON ${table} FOR EACH ROW
    WHEN (OLD.key IS NOT NULL AND OLD.state IN ('waiting', 'running')) EXECUTE FUNCTION ${table}_turn()`
