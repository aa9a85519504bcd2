import { Array, Chunk, Effect, identity, Option, Stream } from "effect"
import type { DeadLetter, DeadLetters, JobSourceError } from "../JobSource.js"
import type { RedriveMatchingOptions } from "./poolService.js"

/** How many dead letters are read, and redriven, at a time. */
const batchSize = 500

const pages = ({ list }: DeadLetters): Stream.Stream<DeadLetter, JobSourceError> =>
  Stream.paginateChunkEffect(undefined as DeadLetter | undefined, (after) =>
    Effect.map(
      list(batchSize, after),
      (page) => [Chunk.fromIterable(page), page.length < batchSize ? Option.none() : Array.last(page)] as const
    ))

/** See `Service.redriveMatching`. All are found before the first is redriven, so that none is twice, however soon it fails again. */
export const redriveMatching = (
  deadLetters: DeadLetters,
  { error = "", fromStart, limit = Infinity }: RedriveMatchingOptions
): Effect.Effect<number, JobSourceError> =>
  pages(deadLetters).pipe(
    Stream.filter((letter) => letter.error.includes(error)),
    Stream.map(({ id }) => id),
    Number.isFinite(limit) ? Stream.take(limit) : identity,
    Stream.runCollect,
    Effect.flatMap((ids) =>
      Effect.reduce(Chunk.chunksOf(ids, batchSize), 0, (count, batch) =>
        Effect.map(deadLetters.redrive(Chunk.toReadonlyArray(batch), { fromStart }), (redriven) =>
          count + redriven))
    )
  )
