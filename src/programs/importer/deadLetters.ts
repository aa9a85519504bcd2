/**
 * What the API does about jobs that were given up.
 */
import { HttpApiBuilder } from "@effect/platform"
import { DateTime, Effect } from "effect"
import { Api } from "./Api.js"
import { available } from "./available.js"
import type { DeadLetter } from "./Domain.js"
import { DeadLetters } from "./store/DeadLetters.js"

/** Where a page ended, as clients hand it back. */
const toCursor = ({ failedAt, id }: DeadLetter) => `${DateTime.toEpochMillis(failedAt)}.${id}`
const fromCursor = (cursor: string) => {
  const dot = cursor.indexOf(".")
  return { failedAt: DateTime.unsafeMake(Number(cursor.slice(0, dot))), id: cursor.slice(dot + 1) }
}

export const DeadLettersLive = HttpApiBuilder.group(
  Api,
  "deadLetters",
  (handlers) =>
    Effect.map(DeadLetters, (letters) =>
      handlers
        .handle("list", ({ urlParams: { after, limit } }) =>
          Effect.map(available(letters.list(limit, after === undefined ? undefined : fromCursor(after))), (found) => ({
            deadLetters: found,
            next: found.length < limit ? null : toCursor(found.at(-1)!)
          })))
        .handle("get", ({ path }) => available(letters.get(path.id)))
        .handle("retry", ({ path, urlParams }) =>
          available(letters.retry(path.id, urlParams)))
        .handle("discard", ({ path }) => available(letters.discard(path.id))))
)
