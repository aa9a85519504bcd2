import { separator } from "../../internal/cancellations.js"
import { endedPrefix } from "../../internal/jobEnds.js"
import type { JobTable } from "../../internal/jobTable.js"
import { keyedPrefix, turnsOf } from "./keyTable.js"

/** The setting that has the fences of the jobs that end in this transaction, and whose ends its process announces after the commit. */
export const quietlyEnded = (table: string): string => `lastcall.${table}`

/** The triggers of before, which do not notify of such jobs: a commit with a notification waits for every other one. */
export const quietEndsMigration = (table: string): JobTable["migrations"][number] => {
  const isQuiet = `(OLD.fence = ANY(coalesce(nullif(current_setting('${
    quietlyEnded(table)
  }', true), ''), '{}')::bigint[])) IS TRUE`
  return `CREATE OR REPLACE FUNCTION ${table}_turn() RETURNS trigger LANGUAGE plpgsql AS $turn$ BEGIN
    INSERT INTO ${turnsOf(table)} (queue, key) VALUES (OLD.queue, OLD.key);
    IF TG_WHEN = 'BEFORE' THEN NEW.state := 'blocked'; END IF;
    IF ${isQuiet} THEN RETURN NEW; END IF;
    -- A job that is not visible yet notifies when it is offered.
    IF TG_WHEN = 'BEFORE' OR EXISTS (
      SELECT 1 FROM ${table} WHERE queue = OLD.queue AND key = OLD.key AND state = 'blocked') THEN
      PERFORM pg_notify('${table}', '${keyedPrefix}' || OLD.queue);
    END IF;
    RETURN NEW;
  END $turn$;
  CREATE OR REPLACE FUNCTION ${table}_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$ BEGIN
    IF ${isQuiet} THEN RETURN NULL; END IF;
    PERFORM pg_notify('${table}', '${endedPrefix}' || OLD.queue || E'${
    JSON.stringify(separator).slice(1, -1)
  }' || OLD.id);
    RETURN NULL;
  END $ended$`
}
