import { separator } from "../../internal/cancellations.js"
import { endedPrefix } from "../../internal/jobEnds.js"
import type { JobTable } from "../../internal/jobTable.js"

/**
 * How jobs have ended, for what waits for them. Triggers announce the ends of jobs that are awaited, whatever ends them: also processes of the version
 * before, which keep no results. Other jobs cost a comparison.
 */
export const endMigration = (table: string): JobTable["migrations"][number] =>
  `ALTER TABLE ${table} ADD COLUMN awaited boolean NOT NULL DEFAULT false, ADD COLUMN result jsonb;
  CREATE FUNCTION ${table}_ended() RETURNS trigger LANGUAGE plpgsql AS $ended$ BEGIN
    PERFORM pg_notify('${table}', '${endedPrefix}' || OLD.queue || E'${
    JSON.stringify(separator).slice(1, -1)
  }' || OLD.id);
    RETURN NULL;
  END $ended$;
  CREATE TRIGGER ${table}_awaited_ended AFTER UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.awaited AND NEW.state IN ('done', 'dead')) EXECUTE FUNCTION ${table}_ended();
  CREATE TRIGGER ${table}_awaited_removed AFTER DELETE ON ${table} FOR EACH ROW
    WHEN (OLD.awaited AND OLD.state <> 'done') EXECUTE FUNCTION ${table}_ended()`
