/**
 * THE primitive: a resource that stops in order, in time, and on the record.
 *
 * @since 0.1.0
 */
import { type Context, Duration, Effect, Either, Exit, Layer, Option, Scope } from "effect"
import { bounded as internalBounded } from "./internal/bounded.js"
import { makeFinalizer } from "./internal/finalizer.js"
import { type Progress, Shutdown } from "./Shutdown.js"
import { checkTimeout } from "./ShutdownConfig.js"

/**
 * How long the steps of a release may take. Each wait is the least of its own timeout and of what the shutdown's
 * budget still has.
 *
 * @since 0.1.0
 * @category models
 */
export interface Timeouts {
  /**
   * How long to wait for what is in flight. By default everything that the budget still has, less a reserve for
   * interrupts and releases; without `launch`, 25 seconds.
   */
  readonly drainTimeout?: Duration.DurationInput | undefined
  /** How long `interrupt` and `release` may take, each. 5 seconds by default. */
  readonly releaseTimeout?: Duration.DurationInput | undefined
}

/**
 * The steps of a release, in the order in which they run. Each of them runs at most once, whatever happens; a step
 * that fails or dies is reported, and the next one runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Steps<in A, out R = never> extends Timeouts {
  /** Take nothing new. Runs first; with `quiesceOn: "LameDuck"` as soon as the service is told to stop. */
  readonly quiesce?: ((resource: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * Completes when nothing is in flight any more. Given up when its time is over or a second signal expedites the
   * shutdown; it is interrupted then, so it should only wait.
   */
  readonly drain?: ((resource: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Interrupts what is still in flight and waits for its finalizers. Runs only when `drain` was given up or failed. */
  readonly interrupt?: ((resource: A) => Effect.Effect<unknown, unknown, R>) | undefined
  /** Lets go of the resource. Always runs, with no time left too: what it does without waiting is always done. */
  readonly release?:
    | ((resource: A, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown, R>)
    | undefined
  /** Counts units of work. Without it, a resource that could not drain counts itself as one unit that was cut. */
  readonly progress?: ((resource: A) => Progress) | undefined
  /**
   * What keeps it from its work at this moment, in a few words; nothing when it is well. `/readyz` shows it to whoever
   * asks, so it must hold no secrets, and be quick to tell.
   */
  readonly condition?: ((resource: A) => string | undefined) | undefined
  /**
   * When to take nothing new: in its turn, after everything that depends on it has been released (`"Release"`, the
   * default), or as soon as the service is told to stop (`"LameDuck"`: right for what pulls its work from elsewhere).
   */
  readonly quiesceOn?: "LameDuck" | "Release" | undefined
}

/**
 * Acquires a resource and puts its release into the current scope: `quiesce`, `drain`, `interrupt`, `release`, each
 * bounded, and recorded under `name`. The name is made unique with a number when it is taken.
 *
 * `acquire` runs uninterruptibly, as in `Effect.acquireRelease`; wrap in `Effect.interruptible` what may be given up.
 *
 * An explicit timeout above what the launched budget can ever hold is refused here: a defect, `BudgetError`, whose
 * message shows the arithmetic.
 *
 * **Promised:** every step is bounded, also uninterruptible work; every step is attempted; the scope goes on closing.
 * **Not promised:** that abandoned work has stopped. It was interrupted and left behind; the report says `Abandoned`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const acquire = <A, E, R, R2 = never>(
  options: Steps<A, R2> & { readonly name: string; readonly acquire: Effect.Effect<A, E, R> }
): Effect.Effect<A, E, R | R2 | Scope.Scope> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const context = yield* Effect.context<R2>()
    const explicit = (field: "drainTimeout" | "releaseTimeout") => {
      const timeout = Option.map(Option.fromNullable(options[field]), (_: Duration.DurationInput) => Duration.decode(_))
      const check = Option.match(timeout, {
        onNone: () => Either.void,
        onSome: (_) => checkTimeout(shutdown.config, options.name, field, _)
      })
      return Effect.orDie(Effect.as(check, timeout))
    }
    const drainTimeout = yield* explicit("drainTimeout")
    const releaseTimeout = yield* explicit("releaseTimeout")
    const resource = yield* options.acquire
    const step = <Args extends Array<unknown>>(
      f: ((resource: A, ...args: Args) => Effect.Effect<unknown, unknown, R2>) | undefined
    ) =>
      Option.map(Option.fromNullable(f), (f) => (...args: Args) =>
        Effect.provide(Effect.suspend(() => f(resource, ...args)), context))
    const { quiesce, run } = yield* makeFinalizer({
      name: options.name,
      drainTimeout,
      releaseTimeout,
      quiesce: Option.map(step(options.quiesce), (f) =>
        f()),
      drain: Option.map(step(options.drain), (f) => f()),
      interrupt: Option.map(step(options.interrupt), (f) => f()),
      release: step(options.release),
      progress: Option.map(Option.fromNullable(options.progress), (f) => () => f(resource)),
      condition: Option.map(Option.fromNullable(options.condition), (f) => () => f(resource))
    })
    yield* Effect.addFinalizer(run)
    if (options.quiesceOn === "LameDuck") {
      yield* Effect.forkScoped(Effect.interruptible(Effect.zipRight(shutdown.lameDuck, quiesce)))
    }
    return resource
  }).pipe(Effect.uninterruptible)

interface Built<ROut> {
  readonly services: Context.Context<ROut>
  readonly scope: Scope.CloseableScope
}

/**
 * Puts *any* existing layer (a Kafka client, an exporter) under a bounded, named, reported release. The layer is
 * built into a scope of its own with the current memo map, so that a layer it shares with others is still opened once.
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
<E, RIn>(self: Layer.Layer<ROut, E, RIn>): Layer.Layer<ROut, E, RIn | R2> => {
  const on = <B>(f: ((services: Context.Context<ROut>) => B) | undefined) =>
    f === undefined ? undefined : ({ services }: Built<ROut>) => f(services)
  return Layer.scopedContext(
    Effect.map(
      acquire<Built<ROut>, E, RIn, R2>({
        ...options,
        name,
        acquire: Effect.gen(function*() {
          const memoMap = yield* Layer.CurrentMemoMap
          const scope = yield* Scope.make()
          const services = yield* Layer.buildWithMemoMap(self, memoMap, scope).pipe(
            Effect.interruptible,
            Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
          )
          return { services, scope }
        }),
        quiesce: on(options.quiesce),
        drain: on(options.drain),
        interrupt: on(options.interrupt),
        progress: on(options.progress),
        condition: on(options.condition),
        release: ({ scope }, exit) => Scope.close(scope, exit)
      }),
      (built) => built.services
    )
  )
}

/**
 * A bounded wait that holds in a finalizer, where `Effect.timeout` does not: `Some(exit)` when the work has ended
 * within its bound, `None` when the time was over (or `cut` completed) first. Work that was given up on is interrupted
 * and left behind. The wait itself is uninterruptible.
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
  internalBounded
