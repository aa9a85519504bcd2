import type { SqlError } from "@effect/sql"
import { Effect, Predicate } from "effect"
import * as Drain from "../../core/Drain.js"
import type { JobSourceError, QueueFull } from "../../layers/jobs/JobSource.js"
import { DatabaseUnavailable } from "./Errors.js"
import { Limits } from "./Limits.js"

const unavailable = new DatabaseUnavailable({ message: "the database does not answer, try again later" })

type Away = SqlError.SqlError | JobSourceError | QueueFull

const isAway = (error: unknown): error is Away =>
  Predicate.isTagged(error, "SqlError") || Predicate.isTagged(error, "JobSourceError") ||
  Predicate.isTagged(error, "QueueFull")

/** A database that is away, or takes too long, is no bug of the request: it is told to come back. */
export const available = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Limits.pipe(
    Effect.flatMap(({ patience }) => Effect.timeoutFail(effect, { duration: patience, onTimeout: () => unavailable })),
    Effect.catchAll((error): Effect.Effect<never, Exclude<E, Away> | DatabaseUnavailable> =>
      isAway(error)
        ? Effect.zipRight(Effect.logWarning("the database is away", error), unavailable)
        : Effect.fail(error as Exclude<E, Away>)
    )
  )

/** For finalizers: whatever happens, they go on after a while. */
export const attempt = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
  effect.pipe(
    Effect.tapErrorCause((cause) => Effect.logWarning("a clean-up failed", cause)),
    Drain.bounded({ within: "5 seconds" }),
    Effect.asVoid
  )
