import { Deferred, type Duration, Effect, type Exit, Fiber, Option } from "effect"

/**
 * What a bounded wait may last: until `within` has passed, or until `cut` completes, whichever comes first.
 */
export interface Bound {
  readonly within: Duration.DurationInput
  readonly cut?: Effect.Effect<unknown>
}

/** A fiber of its own, which nobody has to wait for, and which can be told to stop whatever region it was made in. */
const apart = <A, R>(effect: Effect.Effect<A, never, R>) => Effect.forkDaemon(Effect.interruptible(effect))

/**
 * THE bounded wait: `Some(exit)` when the work has ended within its bound, `None` when the bound fell first.
 *
 * Finalizers run uninterruptibly, often on a fiber that is already interrupted, or is interrupted meanwhile. There
 * `Effect.timeout` bounds nothing: the race inside it waits for the work that it gave up on. `Effect.disconnect`, then
 * `Effect.interruptible`, then `Effect.timeout` does bound it, but races in child fibers of the caller, and children are
 * interrupted with their parent, uninterruptible region or not: a second interruption ends the wait, and the finalizer
 * with it, in the middle.
 *
 * So the work, its clock and its cut are daemons, and the caller awaits which of them is first, uninterruptibly: it is bounded.
 *
 * Work that was given up on is interrupted, not stopped: it goes on until it notices. Who calls this says so.
 */
export const bounded = (bound: Bound) =>
<A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =>
  Effect.uninterruptible(Effect.gen(function*() {
    const first = yield* Deferred.make<Option.Option<Exit.Exit<A, E>>>()
    const worker = yield* apart(Effect.exit(Effect.onExit(work, (exit) => Deferred.succeed(first, Option.some(exit)))))
    const fallsWith = (end: Effect.Effect<unknown>) =>
      apart(Effect.zipRight(Effect.exit(end), Deferred.succeed(first, Option.none())))
    const clock = yield* fallsWith(Effect.sleep(bound.within))
    const cut = bound.cut === undefined ? undefined : yield* fallsWith(bound.cut)
    const result = yield* Deferred.await(first)
    const self = yield* Effect.fiberId
    yield* Fiber.interruptAsFork(clock, self)
    if (cut !== undefined) yield* Fiber.interruptAsFork(cut, self)
    if (Option.isNone(result)) yield* Fiber.interruptAsFork(worker, self)
    return result
  }))
