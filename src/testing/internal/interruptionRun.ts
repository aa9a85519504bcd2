import { Cause, Effect, Exit, type Fiber, Inspectable, type Runtime, Scope } from "effect"
import { InterruptionClock } from "./interruptionClock.js"
import { InterruptionWorld } from "./interruptionWorld.js"

/**
 * What is explored. At the point, `disturb` happens; without it the point is a crash, and `restart` says what then.
 * The types of the program are known at the public face alone.
 *
 * @internal
 */
export interface Plan<S, ES, R> {
  readonly setup: Effect.Effect<S, ES, R | Scope.Scope>
  readonly program: (state: S) => Effect.Effect<unknown, unknown, R | Scope.Scope>
  readonly disturb?: (state: S, root: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<void, never, R>
  readonly restart?: (state: S) => Effect.Effect<unknown, unknown, R | Scope.Scope>
  readonly invariant: (state: S, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void, unknown, R | Scope.Scope>
}

/**
 * What one run showed: how far it went, how the program ended if it was left alone, and what was wrong, if anything.
 *
 * @internal
 */
export interface Outcome {
  readonly points: number
  readonly end: "Completed" | "Idle" | "Endless"
  readonly running: string
  readonly verdict: Verdict
}

type Verdict = { readonly _tag: "Safe" } | { readonly _tag: "Broken" | "Hung"; readonly reason: string }

const safe: Verdict = { _tag: "Safe" }
const broken = (reason: string): Verdict => ({ _tag: "Broken", reason })
const hung = (reason: string): Verdict => ({ _tag: "Hung", reason })

const explain = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (error instanceof Error) return error.message === "" ? error.name : error.message
  return Inspectable.toStringUnknown(error)
}

interface Where {
  readonly at: number
  readonly maxOperations: number
  readonly settling: number
}

/**
 * Runs the program once, on fresh state, and disturbs it at point `at`; zero leaves it alone.
 *
 * @internal
 */
export const run = <S, ES, R>(
  plan: Plan<S, ES, R>,
  env: Runtime.Runtime<R>,
  { at, maxOperations, settling }: Where
): Effect.Effect<Outcome, ES> =>
  Effect.gen(function*() {
    const clock = new InterruptionClock()
    const scope = yield* Scope.make()
    let world = InterruptionWorld.enter(env, clock)

    const built = yield* world.complete(Scope.extend(plan.setup, scope), maxOperations)
    if (typeof built === "string") {
      return yield* Effect.dieMessage(`Interruption: setup never ended; ${world.missing(built)}`)
    }
    if (Exit.isFailure(built)) return yield* Effect.failCause(built.cause)
    const state = built.value

    let running = "left alone"
    let injected: Fiber.RuntimeFiber<void> | undefined
    const root = world.fork(Effect.scoped(plan.program(state)))
    world.trace.nameRoot(root)
    root.addObserver(() => world.scheduler.endCount())
    world.scheduler.onPoint = (fiber) => {
      running = world.trace.label(fiber)
    }
    world.scheduler.atPoint = () => {
      if (plan.disturb === undefined) world.scheduler.stop()
      else injected = world.start(plan.disturb(state, root))
    }
    world.scheduler.settling = settling
    world.scheduler.count(at)
    let exit = yield* world.ended(root, at + maxOperations)
    world.scheduler.endCount()
    const { points } = world.scheduler
    const end = typeof exit === "string" ? exit : "Completed"
    const report = (verdict: Verdict): Outcome => ({ points, end, running, verdict })

    if (at > points) return report(broken(`the program differs from run to run: this one had ${points} operations`))
    if (at === 0 && end !== "Completed") return report(safe)
    if (plan.restart !== undefined) {
      world.scheduler.stop()
      clock.clear()
      world = InterruptionWorld.enter(env, clock)
      exit = yield* world.complete(Effect.scoped(plan.restart(state)), maxOperations)
    }
    if (typeof exit === "string") return report(hung(world.missing(exit)))
    const judged = yield* world.complete(Effect.scoped(plan.invariant(state, exit)), maxOperations)
    if (typeof judged === "string") return report(hung(`the invariant never ended; ${world.missing(judged)}`))
    if (Exit.isFailure(judged)) return report(broken(explain(judged.cause)))
    const failed = injected?.unsafePoll()
    if (failed?._tag === "Failure") return report(broken(`what was injected failed: ${explain(failed.cause)}`))
    const released = yield* world.complete(Scope.close(scope, Exit.void), maxOperations)
    if (typeof released === "string") {
      return report(hung(`the release of setup never ended; ${world.missing(released)}`))
    }
    if (Exit.isFailure(released)) return report(broken(`the release of setup failed: ${explain(released.cause)}`))
    return report(safe)
  })
