import { Duration, Effect, type Exit, Fiber, Option } from "effect"
import { turn } from "./eventLoop.js"

/** The end of a wait: `within` has passed, or `cut` completes, whichever is first. */
export interface Bound {
  readonly within: Duration.DurationInput
  readonly cut?: Effect.Effect<unknown>
}

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Forks a fiber that has no parent, and is interruptible in an uninterruptible region too. */
const forkDetached = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forkDaemon(Effect.interruptible(Effect.exit(effect)))

/** Interrupts the fiber and does not wait for it. Not `Fiber.interruptFork`: that forks a fiber that waits. */
const stop = (fiber: AnyFiber) => Effect.fiberIdWith((id) => Fiber.interruptAsFork(fiber, id))

/** Waits until one of the fibers has ended, without a fiber of its own for each, as a race would have. */
const firstEnd = (fibers: ReadonlyArray<AnyFiber>) =>
  Effect.async<void>((resume) => {
    for (const fiber of fibers) fiber.addObserver(() => resume(Effect.void))
  })

/** Rounded up. V8 stores the delay of every timer of the process outside of the timer once one has a fraction: 16 bytes. */
const wholeMillis = (duration: Duration.DurationInput) => Duration.millis(Math.ceil(Duration.toMillis(duration)))

/** Waits until one of the fibers has ended, at most for this time, in an uninterruptible region too. */
const awaitFirst = (fibers: ReadonlyArray<AnyFiber>, within: Duration.DurationInput) =>
  Effect.daemonChildren(Effect.timeoutOption(Effect.interruptible(firstEnd(fibers)), wholeMillis(within)))

/**
 * `Effect.timeoutOption` for finalizers too: `Some(exit)` when the work ends within its bound, `None` when the bound is
 * reached first. Then the work is interrupted, not stopped: it goes on until it notices, and the caller reports that.
 *
 * Finalizers run uninterruptibly, and often on an interrupted fiber. There `Effect.timeout` alone bounds nothing: its race
 * waits for the loser, and its children are interrupted with their parent. So the work and the cut run as interruptible
 * daemons, and the timeout, whose fibers are daemons too, bounds only the wait for them.
 */
export const bounded = ({ cut, within }: Bound) =>
<A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =>
  Effect.uninterruptible(Effect.flatMap(forkDetached(work), (worker) => {
    const wait = () =>
      cut === undefined
        ? awaitFirst([worker], within)
        : Effect.flatMap(
          // Work that waits for other fibers alone ends within a turn, also if the cut has come before it.
          forkDetached(Effect.zipRight(cut, turn)),
          (cutting) => Effect.zipRight(awaitFirst([worker, cutting], within), stop(cutting))
        )
    const result = (): Effect.Effect<Option.Option<Exit.Exit<A, E>>> => {
      const exit = worker.unsafePoll()
      return exit === null ? Effect.as(stop(worker), Option.none()) : Effect.map(exit, Option.some)
    }
    // The worker runs until it waits for something. Most releases do not, and need no timeout.
    return Effect.yieldNow().pipe(
      Effect.flatMap(() =>
        worker.unsafePoll() !== null || Duration.isZero(Duration.decode(within)) ? Effect.void : wait()
      ),
      Effect.flatMap(result)
    )
  }))
