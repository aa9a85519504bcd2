import type { JobTable } from "../../internal/jobTable.js"
import { endedFunction } from "./endTable.js"
import { turnFunction } from "./keyTable.js"

/** The setting that has the fences of the jobs that end in this transaction, and whose ends its process announces after the commit. */
export const quietlyEnded = (table: string): string => `lastcall.${table}`

/** The triggers of before, which do not notify of such jobs: a commit with a notification waits for every other one. */
export const quietEndsMigration = (table: string): JobTable["migrations"][number] => {
  const isQuiet = `(OLD.fence = ANY(coalesce(nullif(current_setting('${
    quietlyEnded(table)
  }', true), ''), '{}')::bigint[])) IS TRUE`
  return `${turnFunction(table, isQuiet)};
  ${endedFunction(table, isQuiet)}`
}
