import { Array, DateTime, Effect, Option } from "effect"
import { isStorableId } from "../../internal/jobIds.js"
import { toDeadLetter } from "../../internal/jobRecord.js"
import type { DeadLetters } from "../../JobSource.js"
import type { Ledger } from "./ledger.js"

/** The engine knows nothing of dead letters: to it, they are done with. */
export const letters = ({ run, statements }: Ledger): DeadLetters => {
  const count = (operation: string, statement: string, ids: ReadonlyArray<string>, ...more: ReadonlyArray<unknown>) =>
    Effect.map(run(operation, statement, ids.filter(isStorableId), ...more), ([row]) => row?.jobs as number)
  return {
    list: (limit, after) =>
      Effect.map(
        run(
          "deadLetters.list",
          statements.letters,
          limit,
          after === undefined ? null : DateTime.formatIso(after.failedAt),
          after?.id ?? null
        ),
        Array.map(toDeadLetter)
      ),
    get: (id) =>
      !isStorableId(id) ? Effect.succeedNone : Effect.map(
        run("deadLetters.get", statements.letter, id),
        ([row]) => Option.map(Option.fromNullable(row), toDeadLetter)
      ),
    redrive: (ids, options) => count("deadLetters.redrive", statements.redrive, ids, options?.fromStart === true),
    discard: (ids) => count("deadLetters.discard", statements.discardDead, ids)
  }
}
