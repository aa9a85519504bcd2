import { Deferred, Effect, type Exit, FiberId } from "effect"

/**
 * Runs `f` at the first call; later calls wait for its result. Not `Effect.cached`: that replays changes of fiber refs, an
 * interruption among them, into every later caller.
 */
export const once = <In extends Array<unknown>, A, R>(f: (...input: In) => Effect.Effect<A, never, R>) => {
  let started = false
  let exit: Exit.Exit<A> | undefined
  let waiting: Deferred.Deferred<A> | undefined
  const end = (ended: Exit.Exit<A>) => {
    exit = ended
    if (waiting !== undefined) Deferred.unsafeDone(waiting, ended)
    return ended
  }
  return (...input: In): Effect.Effect<A, never, R> =>
    Effect.suspend(() => {
      if (exit !== undefined) return exit
      if (started) return Deferred.await(waiting ??= Deferred.unsafeMake<A>(FiberId.none))
      started = true
      return Effect.flatMap(Effect.exit(f(...input)), end)
    }).pipe(Effect.uninterruptible)
}
