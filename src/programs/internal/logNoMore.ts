import { Cause, Chunk, type Effect, FiberRef, HashSet, Logger } from "effect"

/** Keeps the loggers of this fiber from logging an error that is shown already: `runMain` logs whatever its effect fails with. */
export const logNoMore = (error: unknown): Effect.Effect<void> =>
  FiberRef.update(
    FiberRef.currentLoggers,
    HashSet.map((logger) =>
      Logger.make<unknown, unknown>((entry) =>
        Chunk.contains(Cause.failures(entry.cause), error) ? undefined : logger.log(entry)
      )
    )
  )
