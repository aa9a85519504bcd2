import { Array, Cause, Duration, Effect, Exit, Fiber, Option } from "effect"
import { type Bound, bounded } from "../../core/internal/bounded.js"
import { causeMessage } from "../../core/internal/errorMessage.js"
import type { Lifecycle } from "../../core/Lifecycle.js"
import { registerOutside } from "./outsideDrains.js"

type Main = Fiber.RuntimeFiber<unknown, unknown>

/** A main fiber without anything to release ends sooner, and is not worth a line in the report. */
const unnoticed = Duration.millis(10)

/** Interrupts the main fiber as `runMain` does at a signal. */
export const interruptMain = (main: Main): Effect.Effect<void> =>
  Effect.fiberIdWith((id) => Fiber.interruptAsFork(main, id))

/** What failed in the main fibers, apart from launches, whose failures are typed. */
const failureOf = (exits: ReadonlyArray<Exit.Exit<unknown, unknown>>): Option.Option<Cause.Cause<unknown>> =>
  Array.findFirst(exits, (exit) => Exit.isFailure(exit) ? Cause.keepDefects(exit.cause) : Option.none())

/**
 * Waits until the main fibers have ended, which releases what is provided outside of `launch`, and records it as the
 * resource `outer`. A main fiber that goes on after a failure of its launch is interrupted.
 */
export const releaseOuter = (lifecycle: Lifecycle, mains: ReadonlyArray<Main>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { shutdown } = lifecycle
    const started = yield* shutdown.elapsed
    const ended = Effect.forEach(mains, (main) => Fiber.await(main), { concurrency: "unbounded" })
    const within = (bound: Bound) => Effect.map(bounded(bound)(ended), Option.map(Exit.getOrElse(() => [])))

    const atOnce = yield* within({ within: Duration.min(unnoticed, yield* shutdown.remaining) })
    const failedAtOnce = Option.flatMap(atOnce, failureOf)
    if (Option.isSome(atOnce) && Option.isNone(failedAtOnce)) return

    const report = yield* registerOutside(lifecycle, "outer")
    const byItself = Option.isSome(atOnce)
      ? atOnce
      : yield* within({
        within: Duration.min(shutdown.config.releaseTimeout, yield* shutdown.remaining),
        cut: shutdown.expedited
      })
    if (Option.isNone(byItself)) yield* Effect.forEach(mains, interruptMain, { discard: true })
    const exits = Option.isSome(byItself) ? byItself : yield* within({ within: yield* shutdown.remaining })
    const failure = Option.flatMap(exits, failureOf)
    if (Option.isSome(failure)) yield* Effect.logError("what is provided outside of launch failed", failure.value)
    const released = Option.isSome(exits)
    yield* report({
      outcome: released ? "Drained" : "Abandoned",
      started,
      elapsed: Duration.subtract(yield* shutdown.elapsed, started),
      ...(released ? {} : { reason: "what is provided outside of launch was not released in time" }),
      ...(Option.isSome(failure) ? { failure: causeMessage(failure.value) } : {})
    })
  })
