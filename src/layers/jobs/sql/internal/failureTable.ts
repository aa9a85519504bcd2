import type { JobTable } from "../../internal/jobTable.js"

/**
 * What dead letters failed with. A trigger forgets it when one is redriven, whatever redrives it: processes of the version before leave the column as it
 * is, also where they make the same job a dead letter again, for another reason. Other jobs cost a comparison.
 */
export const failureMigration = (table: string): JobTable["migrations"][number] =>
  `ALTER TABLE ${table} ADD COLUMN failure jsonb;
  CREATE FUNCTION ${table}_forget_failure() RETURNS trigger LANGUAGE plpgsql AS $forget$ BEGIN
    NEW.failure := NULL;
    RETURN NEW;
  END $forget$;
  CREATE TRIGGER ${table}_failure_redriven BEFORE UPDATE OF state ON ${table} FOR EACH ROW
    WHEN (OLD.failure IS NOT NULL AND NEW.state <> 'dead') EXECUTE FUNCTION ${table}_forget_failure()`
