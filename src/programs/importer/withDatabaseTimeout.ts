/** How requests use a database that may be unavailable. */
import type { SqlError } from "@effect/sql"
import { Context, Duration, Effect, Predicate } from "effect"
import * as Drain from "../../core/Drain.js"
import type { JobSourceError, QueueFull } from "../../layers/jobs/JobSource.js"
import { DatabaseUnavailable } from "./Errors.js"

/** The limits of one request. */
export class RequestLimits extends Context.Reference<RequestLimits>()("importer/RequestLimits", {
  defaultValue: () => ({
    /** The largest body: 100 MiB, some minutes of work for one worker. */
    bodyBytes: 100 * 1024 * 1024,
    /** How long one operation of the database may take: longer than any statement needs, shorter than clients wait. */
    databaseTimeout: Duration.seconds(10)
  })
}) {}

const unavailable = new DatabaseUnavailable({ message: "the database is unavailable or too slow, try again later" })

type DatabaseFailure = SqlError.SqlError | JobSourceError | QueueFull

const isDatabaseFailure = (error: unknown): error is DatabaseFailure =>
  Predicate.isTagged(error, "SqlError") || Predicate.isTagged(error, "JobSourceError") ||
  Predicate.isTagged(error, "QueueFull")

/** Answers 503 with `Retry-After` when the database is unavailable or takes too long. */
export const withDatabaseTimeout = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  RequestLimits.pipe(
    Effect.flatMap(({ databaseTimeout }) =>
      Effect.timeoutFail(effect, { duration: databaseTimeout, onTimeout: () => unavailable })
    ),
    Effect.catchAll((error): Effect.Effect<never, Exclude<E, DatabaseFailure> | DatabaseUnavailable> =>
      isDatabaseFailure(error)
        ? Effect.zipRight(Effect.logWarning("a request failed because the database is unavailable", error), unavailable)
        : Effect.fail(error as Exclude<E, DatabaseFailure>)
    )
  )

/** For finalizers: bounded, and never fails. */
export const cleanUp = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  effect.pipe(
    Effect.tapErrorCause((cause) =>
      Effect.logWarning("deleting an unfinished upload failed; another process deletes it later", cause)
    ),
    Drain.bounded({ within: "5 seconds" }),
    Effect.asVoid
  )
