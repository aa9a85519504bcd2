import { Deferred, Effect, FiberId } from "effect"

/**
 * Runs `f` at the first call; later calls wait for its result. Not `Effect.cached`: that replays changes of fiber refs, an
 * interruption among them, into every later caller.
 */
export const once = <In extends Array<unknown>, A>(f: (...input: In) => Effect.Effect<A>) => {
  let result: Deferred.Deferred<A> | undefined
  return (...input: In): Effect.Effect<A> =>
    Effect.suspend(() => {
      if (result !== undefined) return Deferred.await(result)
      result = Deferred.unsafeMake<A>(FiberId.none)
      return Effect.zipRight(Effect.intoDeferred(f(...input), result), Deferred.await(result))
    }).pipe(Effect.uninterruptible)
}
