/**
 * The primitive of everything that stops: a resource whose release has named, bounded and reported steps.
 *
 * @module
 * @since 0.1.0
 */
import { Context, type Duration, Effect, Exit, Layer, Option, Scope } from "effect"
import { acquiring } from "./internal/acquiring.js"
import { makeAttempt } from "./internal/attempt.js"
import { bounded as internalBounded } from "./internal/bounded.js"
import { drainReport, type Problems } from "./internal/drainReport.js"
import { drainTimeouts } from "./internal/drainTimeouts.js"
import { beginUse, build } from "./internal/memoMap.js"
import { monotonicMillis } from "./internal/monotonic.js"
import { idle, nameList, safeObservers } from "./internal/observers.js"
import { once } from "./internal/once.js"
import { durationOption } from "./internal/options.js"
import { type Progress, type Resource, Shutdown, type Stage } from "./Shutdown.js"
import type { BudgetError } from "./ShutdownConfig.js"
import type { DrainReport, Outcome } from "./ShutdownReport.js"

/**
 * The timeouts of a release. Each step is bounded by its timeout and by what remains of the grace period, whichever is
 * less.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  /**
   * The bound of `drain`. Default: all that remains of the grace period, less the reserve for interrupts and releases;
   * without `launch`, 25 seconds.
   */
  readonly drainTimeout?: Duration.DurationInput | undefined
  /**
   * The bound of each of `quiesce`, `interrupt` and `release`. Default: `releaseTimeout` of `launch`, 5 seconds, because
   * closing a socket or a pool is either quick or hung.
   */
  readonly releaseTimeout?: Duration.DurationInput | undefined
}

/**
 * The steps of a release, in the order in which they run. Each runs at most once. A step that fails, dies or exceeds its
 * bound is reported, and the next one runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Steps<in A, out R = never> extends Timeouts {
  /** Stops accepting new work, also when expedited. Runs first; with `quiesceOn: "LameDuck"` when the shutdown begins. */
  readonly quiesce?: ((resource: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * Completes when no work is in flight. Interrupted at its bound, or when a second signal expedites the shutdown, so it
   * should only wait.
   */
  readonly drain?: ((resource: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Interrupts the work in flight and waits for its finalizers. Runs only if `drain` failed or exceeded its bound. */
  readonly interrupt?: ((resource: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * Releases the resource. Always runs. When no time remains, only what it does before its first asynchronous wait is
   * certain to be done.
   */
  readonly release?:
    | ((resource: A, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown, R>)
    | undefined
  /**
   * The units of work of the resource, for the report. Without it, a resource that could not drain counts as one unit
   * that was cut.
   */
  readonly progress?: ((resource: A) => Progress) | undefined
  /** Names the work in flight. The report lists it when `drain` exceeds its bound. */
  readonly names?: ((resource: A) => ReadonlyArray<string>) | undefined
  /**
   * Why the resource cannot work now, in a few words; `undefined` while it can. `/readyz` shows it to its callers: it
   * must hold no secrets, and return at once. One that throws is shown as a condition, without its message.
   */
  readonly condition?: ((resource: A) => string | undefined) | undefined
  /**
   * When to run `quiesce`. `"Release"`, the default: after everything that depends on the resource was released.
   * `"LameDuck"`: as soon as the shutdown is requested, right for resources that pull their work from elsewhere.
   */
  readonly quiesceOn?: "LameDuck" | "Release" | undefined
}

/**
 * Registers the resource. `quiesce` may run ahead of `release`, which does not repeat it. Both are bounded and never fail.
 * With `needed`, the resource is provisional: nothing is done when it completes with false.
 *
 * @internal
 */
export const makeRelease = <A, R>(
  steps: Steps<A, R> & { readonly name: string },
  resource: A,
  timeouts: Effect.Effect.Success<ReturnType<typeof drainTimeouts>>,
  needed?: Effect.Effect<boolean>
) =>
  Effect.contextWithEffect((context: Context.Context<R>) => {
    const shutdown = Context.get(context, Shutdown)
    const problems: Problems = {}
    const { condition, progress } = safeObservers({
      progress: () => steps.progress?.(resource) ?? idle,
      condition: () => steps.condition?.(resource)
    })
    const attempt = makeAttempt(shutdown, timeouts, problems, () => nameList(() => steps.names?.(resource) ?? []))

    const makeSteps = (registered: Resource) => {
      const update = (stage: Stage, report: Option.Option<DrainReport> = Option.none()) =>
        shutdown.update({ ...registered, stage, report })

      let baseline: Progress | undefined
      const quiesce = once(() => {
        baseline = progress()
        if (steps.quiesce === undefined) return Effect.void
        return Effect.zipRight(attempt("quiesce", Effect.suspend(() => steps.quiesce!(resource))), update("quiesced"))
      })

      const interrupt = (interrupt: NonNullable<typeof steps.interrupt>) =>
        Effect.zipRight(update("interrupting"), attempt("interrupt", Effect.suspend(() => interrupt(resource)))).pipe(
          Effect.map((how): Outcome => how === "Overdue" ? "Abandoned" : "Interrupted")
        )
      const drain = (drain: NonNullable<typeof steps.drain>) =>
        Effect.zipRight(update("draining"), attempt("drain", Effect.suspend(() => drain(resource)))).pipe(
          Effect.flatMap((how): Effect.Effect<Outcome, never, R> =>
            how === "Done"
              ? Effect.succeed("Drained")
              : steps.interrupt === undefined
              ? Effect.succeed("Interrupted")
              : interrupt(steps.interrupt)
          )
        )
      const close = (exit: Exit.Exit<unknown, unknown>) => (outcome: Outcome) => {
        const release = steps.release
        if (release === undefined) return Effect.succeed(outcome)
        return Effect.zipRight(update("releasing"), attempt("release", Effect.suspend(() => release(resource, exit))))
          .pipe(
            Effect.map((how): Outcome => how === "Overdue" ? "Abandoned" : outcome)
          )
      }

      const report = (started: Duration.Duration, elapsed: number, outcome: Outcome) =>
        drainReport({
          name: registered.name,
          outcome,
          started,
          elapsed,
          before: baseline ?? idle,
          after: progress(),
          countsWork: steps.progress !== undefined,
          ...problems
        })

      const runSteps = (exit: Exit.Exit<unknown, unknown>) =>
        Effect.flatMap(Effect.zip(shutdown.elapsed, monotonicMillis), ([started, from]) =>
          quiesce().pipe(
            Effect.zipRight(steps.drain === undefined ? Effect.succeed("Drained" as const) : drain(steps.drain)),
            Effect.flatMap(close(exit)),
            Effect.zip(monotonicMillis),
            Effect.flatMap(([outcome, now]) => update("closed", Option.some(report(started, now - from, outcome))))
          ))
      const release = once((exit: Exit.Exit<unknown, unknown>) =>
        needed === undefined ? runSteps(exit) : Effect.flatMap(needed, (yes) => yes ? runSteps(exit) : update("closed"))
      )
      return { quiesce, release }
    }

    let finalize: Effect.Effect<void> = Effect.void
    return Effect.map(
      shutdown.register({
        name: steps.name,
        stage: "open",
        report: Option.none(),
        drainTimeout: timeouts.drainTimeout,
        provisional: needed !== undefined,
        progress,
        condition,
        finalize: Effect.suspend(() => finalize)
      }),
      (registered) => {
        // When they are needed: what is open should be small, where there are thousands.
        let made: ReturnType<typeof makeSteps> | undefined
        const steps = () => made ??= makeSteps(registered)
        finalize = Effect.suspend(() => Effect.provide(steps().release(Exit.void), context))
        return {
          quiesce: Effect.suspend(() => steps().quiesce()),
          release: (exit: Exit.Exit<unknown, unknown>) => steps().release(exit)
        }
      }
    )
  })

/**
 * Acquires a resource and adds its release to the current scope: `quiesce`, `drain`, `interrupt`, `release`, each
 * bounded, and reported under `name`. A name that is taken gets a number.
 *
 * `acquire` is uninterruptible, as in `Effect.acquireRelease`. Wrap in `Effect.interruptible` what a shutdown during the
 * start may interrupt.
 *
 * **Errors.** Those of `acquire`. `BudgetError` when the budget of `launch` can never hold a timeout; its message shows the
 * arithmetic, and nothing is acquired. A timeout that is negative, infinite or NaN is a defect.
 *
 * **Promised:** every step is attempted and bounded, uninterruptible work included; the scope goes on closing.
 * **Not promised:** that `Abandoned` work has stopped. It was interrupted, and may go on until it notices.
 *
 * @since 0.1.0
 * @category constructors
 */
export const acquire = <A, E, R, R2 = never>(
  options: Steps<A, R2> & {
    /** The name of the resource in logs and in the report. */
    readonly name: string
    /**
     * Acquires the resource. With `self.pipe(Effect.map(f))` TypeScript infers the resource before it types the steps; with
     * `Effect.map(self, f)` it does not, and the steps get `unknown`.
     */
    readonly acquire: Effect.Effect<A, E, R>
  }
): Effect.Effect<A, E | BudgetError, R | R2 | Scope.Scope> =>
  Effect.flatMap(
    drainTimeouts(options),
    (timeouts) =>
      Effect.flatMap(Effect.locally(options.acquire, acquiring, Option.some(options.name)), (resource) =>
        Effect.flatMap(makeRelease(options, resource, timeouts), ({ quiesce, release }) => {
          const added = Effect.as(Effect.addFinalizer(release), resource)
          if (options.quiesceOn !== "LameDuck") {
            return added
          }
          const early = Effect.flatMap(Shutdown, ({ lameDuck }) =>
            Effect.zipRight(lameDuck, quiesce))
          return Effect.zipLeft(added, Effect.forkScoped(Effect.interruptible(early)))
        }))
  ).pipe(Effect.uninterruptible)

/**
 * Gives the release of *any* layer (a Kafka client, an exporter) a bound, a name and a line in the report. Steps receive
 * the services of the layer. A layer that is used elsewhere too is built once, and its steps run when the last user was
 * released, drained or not. (Without `launch`, with the last user of the drained one.)
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Drain } from "lastcall"
 *
 * const Exporter = Layer.scopedDiscard(Effect.addFinalizer(() => Effect.log("flushed")))
 *
 * const Bounded = Exporter.pipe(Drain.layer("exporter", { releaseTimeout: "2 seconds" }))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <ROut, R2 = never>(
  name: string,
  options: Omit<Steps<Context.Context<ROut>, R2>, "release"> = {}
) =>
<E, RIn>(self: Layer.Layer<ROut, E, RIn>): Layer.Layer<ROut, E | BudgetError, RIn | R2> =>
  Layer.scopedContext(Effect.uninterruptible(Effect.gen(function*() {
    const scope = yield* Scope.make()
    const drainScope = yield* Scope.make()
    const context = yield* Scope.extend(drainScope)(acquire<Context.Context<ROut>, E, RIn, R2>({
      ...options,
      name,
      acquire: build(self, scope).pipe(
        Effect.interruptible,
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
      ),
      release: (_, exit) => Scope.close(scope, exit)
    }))
    const endUse = yield* beginUse(self, context)
    yield* Effect.addFinalizer((exit) => endUse(Scope.close(drainScope, exit)))
    return context
  })))

/**
 * A bounded wait that holds in a finalizer, where `Effect.timeout` does not: `Some(exit)` when the work ends within its
 * bound, `None` when `within` passes or `cut` completes first. Then the work is interrupted, and may go on until it
 * notices. The wait itself is uninterruptible.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Drain } from "lastcall"
 *
 * const flush = Effect.promise(() => new Promise<void>(() => {}))
 *
 * const program = Effect.addFinalizer(() => Drain.bounded({ within: "2 seconds" })(flush))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const bounded: (
  bound: { readonly within: Duration.DurationInput; readonly cut?: Effect.Effect<unknown> }
) => <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<Option.Option<Exit.Exit<A, E>>, never, R> =
  (bound) => (work) =>
    Effect.suspend(() => {
      const within = durationOption("Drain.bounded", "within", bound.within, { unlimited: true })
      return internalBounded({ ...bound, within })(work)
    })
