import { Deferred, Effect, Ref } from "effect"

/**
 * Runs `f` at the first call; later calls wait for its result. Not `Effect.cached`: that replays changes of fiber refs, an
 * interruption among them, into every later caller.
 */
export const once = <In extends Array<unknown>, A>(
  f: (...input: In) => Effect.Effect<A>
): Effect.Effect<(...input: In) => Effect.Effect<A>> =>
  Effect.zipWith(Ref.make(false), Deferred.make<A>(), (started, result) => (...input) =>
    Effect.uninterruptible(
      Effect.flatMap(
        Ref.getAndSet(started, true),
        (started) => started ? Effect.void : Effect.intoDeferred(f(...input), result)
      ).pipe(Effect.zipRight(Deferred.await(result)))
    ))
