/**
 * The dead letters of the pool, and their imports.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Option, Schema } from "effect"
import { type DeadLetter as Letter, JobSourceError } from "../../../layers/jobs/JobSource.js"
import { DeadLetter, ImportJob } from "../Domain.js"
import { Importer } from "../Domain.js"
import { DeadLetterNotFound } from "../Errors.js"
import { Loads } from "./Loads.js"

const pageSize = 100

const decode = Schema.decodeUnknownOption(ImportJob)

const toDeadLetter = (letter: Letter): DeadLetter =>
  new DeadLetter({
    id: letter.id,
    importId: Option.match(decode(letter.payload), { onNone: () => null, onSome: ({ importId }) => importId }),
    payload: letter.payload,
    error: letter.error,
    attempts: letter.attempt,
    failedAt: letter.failedAt
  })

export class DeadLetters extends Effect.Service<DeadLetters>()("importer/DeadLetters", {
  effect: Effect.gen(function*() {
    const { deadLetters, name } = yield* Importer
    const loads = yield* Loads
    const sql = yield* SqlClient.SqlClient

    const list = (limit: number, after?: Pick<DeadLetter, "id" | "failedAt">) =>
      Effect.map(deadLetters.list(limit, after), (letters) => letters.map(toDeadLetter))

    const get = (id: string) =>
      Effect.flatMap(
        deadLetters.get(id),
        Option.match({
          onNone: () => new DeadLetterNotFound({ message: `there is no dead letter ${id}` }),
          onSome: (letter) => Effect.succeed(toDeadLetter(letter))
        })
      )

    /** Updates the import first: a worker that claims the job at once waits for the lock on the import's row, and reads it updated. */
    const retry = (id: string, options: { readonly fromStart: boolean }) =>
      sql.withTransaction(Effect.gen(function*() {
        const { importId } = yield* get(id)
        if (importId !== null) yield* loads.requeue(importId, options)
        yield* deadLetters.redrive([id], options)
      }))

    const discard = (id: string) =>
      sql.withTransaction(Effect.gen(function*() {
        const { error, importId } = yield* get(id)
        if (importId !== null) yield* loads.discard(importId, error)
        yield* deadLetters.discard([id])
      }))

    /** For the job console: skips what is no dead letter by now, and returns how many there were. */
    const each = (
      ids: ReadonlyArray<string>,
      change: (id: string) => Effect.Effect<void, DeadLetterNotFound | JobSourceError | SqlError.SqlError>
    ) =>
      Effect.forEach(new Set(ids), (id) =>
        change(id).pipe(
          Effect.as(1),
          Effect.catchTags({
            DeadLetterNotFound: () => Effect.succeed(0),
            SqlError: (cause) => new JobSourceError({ operation: "deadLetters", queue: name, cause })
          })
        )).pipe(Effect.map((changed) => changed.reduce((sum, one) => sum + one, 0)))
    const redriveAll = (ids: ReadonlyArray<string>, options?: { readonly fromStart?: boolean | undefined }) =>
      each(ids, (id) => retry(id, { fromStart: options?.fromStart === true }))
    const discardAll = (ids: ReadonlyArray<string>) => each(ids, discard)

    /** Marks the imports of all dead letters as failed, page by page. */
    const failImports = (after?: DeadLetter): Effect.Effect<void, JobSourceError | SqlError.SqlError> =>
      Effect.gen(function*() {
        const letters = yield* list(pageSize, after)
        const unfinished = yield* loads.unfinished(
          letters.flatMap(({ importId }) => importId === null ? [] : [importId])
        )
        for (const { error, id, importId } of letters) {
          if (importId === null || !unfinished.has(importId)) continue
          yield* loads.fail(importId, error, Effect.map(deadLetters.get(id), Option.isSome))
        }
        if (letters.length === pageSize) yield* failImports(letters.at(-1))
      })

    return { list, get, retry, discard, redriveAll, discardAll, failImports }
  })
}) {}
