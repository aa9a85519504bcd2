import { Effect, Exit } from "effect"
import type { Row } from "../../../database/contract.js"
import type { EndsQueue } from "../../internal/jobEnds.js"
import { fromText } from "../../internal/jobRecord.js"
import { isStorableId } from "../../internal/storable.js"
import type { JobEnd } from "../../JobSource.js"
import type { Run } from "./rows.js"
import type { Statements } from "./statements.js"

const endOf = ({ error, failure, result, state }: Row): JobEnd | undefined =>
  state === "dead"
    ? { _tag: "DeadLettered", error: error as string, failure: fromText(failure) }
    : state === "done"
    ? { _tag: "Succeeded", value: fromText(result) }
    : undefined

/** How the jobs of a queue have ended, as the table says. `run` waits for no jobs. */
export const endsOf = (name: string, run: Run, { ends }: Pick<Statements, "ends">): EndsQueue => ({
  name,
  read: (ids) =>
    Effect.map(run("awaitEnd", ends, ids.filter(isStorableId)), (rows) => {
      const ends = new Map(ids.map((id) => [id, Exit.succeed<JobEnd>({ _tag: "Gone" })]))
      for (const row of rows) {
        const end = endOf(row)
        if (end === undefined) ends.delete(row.id as string)
        else ends.set(row.id as string, Exit.succeed(end))
      }
      return ends
    })
})
