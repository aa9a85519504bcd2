import { Deferred, type Duration, Effect, type Exit, Fiber, Option } from "effect"

/** The end of a wait: `within` has passed, or `cut` completes, whichever is first. */
export interface Bound {
  readonly within: Duration.DurationInput
  readonly cut?: Effect.Effect<unknown>
}

/** Forks a fiber that has no parent, and is interruptible in an uninterruptible region too. */
const forkDetached = <A, R>(effect: Effect.Effect<A, never, R>) => Effect.forkDaemon(Effect.interruptible(effect))

/**
 * The bounded wait, for finalizers too: `Some(exit)` when the work ends within its bound, `None` when the bound is reached
 * first. Then the work is interrupted, not stopped: it goes on until it notices, and the caller reports that.
 *
 * Finalizers run uninterruptibly, and often on an interrupted fiber. There `Effect.timeout` bounds nothing: its race
 * waits for the loser. `Effect.disconnect`, `Effect.interruptible` and `Effect.timeout` together bound the work, but race
 * in child fibers of the caller. Children are interrupted with their parent, also in an uninterruptible region: a second
 * interruption would end the wait, and with it the finalizer, halfway.
 *
 * So the work, the timer and the cut run as daemons, and the caller waits uninterruptibly for the first of them.
 */
export const bounded = (bound: Bound) =>
<A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const first = yield* Deferred.make<Option.Option<Exit.Exit<A, E>>>()
    const worker = yield* forkDetached(
      Effect.exit(Effect.onExit(work, (exit) => Deferred.succeed(first, Option.some(exit))))
    )
    const endWith = (end: Effect.Effect<unknown>) =>
      forkDetached(Effect.zipRight(Effect.exit(end), Deferred.succeed(first, Option.none())))
    const timer = yield* endWith(Effect.sleep(bound.within))
    const cut = bound.cut === undefined ? undefined : yield* endWith(bound.cut)
    const result = yield* Deferred.await(first)
    const self = yield* Effect.fiberId
    yield* Fiber.interruptAsFork(timer, self)
    if (cut !== undefined) yield* Fiber.interruptAsFork(cut, self)
    if (Option.isNone(result)) yield* Fiber.interruptAsFork(worker, self)
    return result
  }))
