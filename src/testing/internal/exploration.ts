import { Cause, Effect, Exit, type Fiber, Random, type Runtime, Scope } from "effect"
import { errorMessage } from "../../core/internal/errorMessage.js"
import { sourceOf } from "./fiberTrace.js"
import { VirtualClock } from "./virtualClock.js"
import { type Unended, VirtualRuntime } from "./virtualRuntime.js"

/**
 * What is explored. At a point `disturb` runs; without it the point is a crash, after which `restart` runs. The types of the
 * program's result are erased here.
 *
 * @internal
 */
export interface Program<S, ES, R> {
  readonly setup: Effect.Effect<S, ES, R | Scope.Scope>
  readonly program: (state: S) => Effect.Effect<unknown, unknown, R | Scope.Scope>
  readonly disturb?: (state: S, root: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<void, never, R>
  readonly restart?: (state: S) => Effect.Effect<unknown, unknown, R | Scope.Scope>
  readonly invariant: (state: S, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void, unknown, R | Scope.Scope>
}

interface Options {
  readonly at?: number
  readonly sample?: number
  readonly seed?: number | string
  readonly maxOperations?: number
  readonly strict?: boolean
}

/** The operations after a resumption that are points only when exploring strictly; see `Interruption.explore`. */
const settling = 16

type Verdict =
  | { readonly _tag: "Safe" }
  | { readonly _tag: "Broken" | "Hung" | "HungInEffect"; readonly reason: string }

const safe: Verdict = { _tag: "Safe" }
const broken = (reason: string): Verdict => ({ _tag: "Broken", reason })

/** The verdict on fibers that do not end: theirs, or Effect's own. */
const hung = <R>(runtime: VirtualRuntime<R>, unended: Unended, what = ""): Verdict => {
  const fault = unended === "Idle" ? runtime.trace.faultOfEffect() : undefined
  return fault === undefined
    ? { _tag: "Hung", reason: what + runtime.describe(unended) }
    : { _tag: "HungInEffect", reason: what + fault }
}

/** The result of one run: its number of points, how the program ended, the description of the point, and the verdict. */
interface Run {
  readonly points: number
  readonly end: "Completed" | "Idle" | "Endless"
  readonly running: string
  readonly verdict: Verdict
}

/**
 * Runs the program once undisturbed, to count its points, and then once for each point to explore.
 *
 * @internal
 */
export const exploreAll = <S, ES, R>(
  program: Program<S, ES, R>,
  { at, maxOperations = 10_000, sample, seed = 0, strict = true }: Options
) =>
  Effect.gen(function*() {
    const env = yield* Effect.runtime<R>()
    const runAt = (at: number) => runOnce(program, env, { at, maxOperations, settling: strict ? 0 : settling })
    const undisturbed = yield* runAt(0)
    const points = at === undefined
      ? yield* choose(undisturbed.points, sample).pipe(Effect.withRandom(Random.make(seed)))
      : [at]
    const runs = yield* Effect.forEach(points, (at) => Effect.map(runAt(at), (run) => ({ at, run })))
    const found = (tag: Verdict["_tag"]) =>
      [{ at: 0, run: undisturbed }, ...runs].flatMap(({ at, run: { running, verdict } }) =>
        verdict._tag === tag && verdict._tag !== "Safe" ? [{ at, running, reason: verdict.reason }] : []
      )
    return {
      operations: undisturbed.points,
      explored: points.length,
      end: undisturbed.end,
      broken: found("Broken"),
      hung: found("Hung"),
      hungInEffect: found("HungInEffect")
    }
  })

/** The first and the last point, and a random one from each of as many equal ranges between them as the sample needs. */
const choose = (count: number, sample = count): Effect.Effect<ReadonlyArray<number>> => {
  if (count <= 2 || sample >= count) return Effect.succeed(Array.from({ length: count }, (_, index) => index + 1))
  const between = Math.max(0, sample - 2)
  const edge = (index: number) => 2 + Math.floor((index * (count - 2)) / between)
  const ranges = Array.from({ length: between }, (_, index) => [edge(index), edge(index + 1)] as const)
  return Effect.map(
    Effect.forEach(ranges, ([from, to]) => Random.nextIntBetween(from, to)),
    (inner) => [1, ...inner, count]
  )
}

const messageOf = (cause: Cause.Cause<unknown>): string => errorMessage(Cause.squash(cause))

/** Runs the program on new state, and disturbs it at the point `at`; zero disturbs it nowhere. */
const runOnce = <S, ES, R>(
  { disturb, invariant, program, restart, setup }: Program<S, ES, R>,
  env: Runtime.Runtime<R>,
  { at, maxOperations, settling }: { readonly at: number; readonly maxOperations: number; readonly settling: number }
): Effect.Effect<Run, ES> =>
  Effect.gen(function*() {
    const clock = new VirtualClock()
    const scope = yield* Scope.make()
    let runtime = VirtualRuntime.make(env, clock)
    const { scheduler, trace } = runtime

    const built = yield* runtime.run(Scope.extend(setup, scope), maxOperations)
    if (typeof built === "string") {
      return yield* Effect.dieMessage(`setup does not end; ${runtime.describe(built)}`)
    }
    if (Exit.isFailure(built)) return yield* Effect.failCause(built.cause)
    const state = built.value

    let running = "not disturbed"
    let disturbing: Fiber.RuntimeFiber<void> | undefined
    const root = runtime.fork(Effect.scoped(program(state)))
    trace.nameRoot(root)
    root.addObserver(() => scheduler.endCount())
    scheduler.onPoint = (fiber) => {
      running = trace.label(fiber)
    }
    scheduler.atPoint = () => {
      if (disturb === undefined) scheduler.stop()
      else disturbing = runtime.forkNow(disturb(state, root))
    }
    scheduler.settling = settling
    // Between an acquire and its finalizer, a resumption makes no difference: the code in between is the user's.
    const addFinalizer = sourceOf(Scope.addFinalizer(scope, Effect.void))
    scheduler.isAlwaysPoint = (fiber) => trace.isAbout(fiber, addFinalizer)
    scheduler.startCount(at)
    let exit = yield* runtime.await(root, at + maxOperations)
    scheduler.endCount()
    const { points } = scheduler
    const end = typeof exit === "string" ? exit : "Completed"
    const result = (verdict: Verdict): Run => ({ points, end, running, verdict })

    if (at > points) return result(broken(`the program differs from run to run: this run had ${points} operations`))
    if (at === 0 && end !== "Completed") return result(safe)
    if (restart !== undefined) {
      scheduler.stop()
      clock.clear()
      runtime = VirtualRuntime.make(env, clock)
      exit = yield* runtime.run(Effect.scoped(restart(state)), maxOperations)
    }
    if (typeof exit === "string") return result(hung(runtime, exit))
    const checked = yield* runtime.run(Effect.scoped(invariant(state, exit)), maxOperations)
    if (typeof checked === "string") return result(hung(runtime, checked, "the invariant does not end; "))
    if (Exit.isFailure(checked)) return result(broken(messageOf(checked.cause)))
    const disturbed = disturbing?.unsafePoll()
    if (disturbed?._tag === "Failure") return result(broken(`inject failed: ${messageOf(disturbed.cause)}`))
    const released = yield* runtime.run(Scope.close(scope, Exit.void), maxOperations)
    if (typeof released === "string") {
      return result(hung(runtime, released, "the release of setup does not end; "))
    }
    if (Exit.isFailure(released)) return result(broken(`the release of setup failed: ${messageOf(released.cause)}`))
    return result(safe)
  })
