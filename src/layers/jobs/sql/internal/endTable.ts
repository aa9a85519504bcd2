import { separator } from "../../internal/cancellations.js"
import { endedPrefix } from "../../internal/jobEnds.js"
import type { JobTable } from "../../internal/jobTable.js"

/** What the triggers run: announces the end of a job unless `quiet` is true. */
export const endedFunction = (table: string, quiet = "false"): string =>
  `CREATE OR REPLACE FUNCTION ${table}_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$ BEGIN
    IF ${quiet} THEN RETURN NULL; END IF;
    PERFORM pg_notify('${table}', '${endedPrefix}' || OLD.queue || E'${
    JSON.stringify(separator).slice(1, -1)
  }' || OLD.id);
    RETURN NULL;
  END $ended$`

/**
 * How jobs have ended, for what waits for them. Triggers announce the ends of jobs that are awaited, whatever ends them: also processes of the version
 * before, which keep no results. Other jobs cost a comparison.
 */
export const endMigration = (table: string): JobTable["migrations"][number] =>
  `ALTER TABLE ${table} ADD COLUMN awaited boolean NOT NULL DEFAULT false, ADD COLUMN result jsonb;
  ${endedFunction(table)};
  CREATE TRIGGER ${table}_awaited_ended AFTER UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.awaited AND NEW.state IN ('done', 'dead')) EXECUTE FUNCTION ${table}_ended();
  CREATE TRIGGER ${table}_awaited_removed AFTER DELETE ON ${table} FOR EACH ROW
    WHEN (OLD.awaited AND OLD.state <> 'done') EXECUTE FUNCTION ${table}_ended()`
