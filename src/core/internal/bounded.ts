import { Duration, Effect, type Exit, Fiber, identity, Option } from "effect"

/** The end of a wait: `within` has passed, or `cut` completes, whichever is first. */
export interface Bound {
  readonly within: Duration.DurationInput
  readonly cut?: Effect.Effect<unknown>
}

/** Forks a fiber that has no parent, and is interruptible in an uninterruptible region too. */
const forkDetached = <A, R>(effect: Effect.Effect<A, never, R>) => Effect.forkDaemon(Effect.interruptible(effect))

/** Waits for the fiber. Not `Fiber.join`: that copies its fiber refs, an interruption among them. */
const resultOf = <A>(fiber: Fiber.Fiber<A>) => Effect.flatMap(Fiber.await(fiber), identity)

/**
 * `Effect.timeoutOption` for finalizers too: `Some(exit)` when the work ends within its bound, `None` when the bound is
 * reached first. Then the work is interrupted, not stopped: it goes on until it notices, and the caller reports that.
 *
 * Finalizers run uninterruptibly, and often on an interrupted fiber. There `Effect.timeout` alone bounds nothing: its race
 * waits for the loser, and its children are interrupted with their parent. So the work and the race run as interruptible
 * daemons, and the caller waits for them uninterruptibly.
 */
export const bounded = ({ cut, within }: Bound) =>
<A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =>
  Effect.uninterruptible(Effect.flatMap(forkDetached(Effect.exit(work)), (worker) => {
    const poll = () => Effect.transposeOption(Option.fromNullable(worker.unsafePoll()))
    const race = () => {
      const timed = Effect.timeoutOption(resultOf(worker), within)
      return Effect.flatMap(
        forkDetached(
          cut === undefined
            ? timed
            : Effect.raceFirst(timed, Effect.as(Effect.disconnect(Effect.exit(cut)), Option.none()))
        ),
        resultOf
      )
    }
    const orPoll = (result: Option.Option<Exit.Exit<A, E>>) =>
      Option.isSome(result) ? Effect.succeed(result) : Effect.suspend(poll)
    const orInterrupt = (result: Option.Option<Exit.Exit<A, E>>) =>
      Option.isSome(result)
        ? Effect.succeed(result)
        : Effect.as(Fiber.interruptFork(worker), Option.none<Exit.Exit<A, E>>())
    // The worker runs until it waits for something. Most releases do not, and need no race.
    return Effect.yieldNow().pipe(
      Effect.flatMap(poll),
      Effect.flatMap((result) =>
        Option.isSome(result) || Duration.isZero(Duration.decode(within))
          ? Effect.succeed(result)
          : Effect.flatMap(race(), orPoll)
      ),
      Effect.flatMap(orInterrupt)
    )
  }))
