import { Clock, Deferred, Duration, Effect, Exit, Option, Ref } from "effect"
import { type Progress, type Registration, Shutdown } from "../Shutdown.js"
import { defaults } from "../ShutdownConfig.js"
import { DrainReport, type Outcome } from "../ShutdownReport.js"
import { bounded } from "./bounded.js"
import { shortDuration } from "./duration.js"
import { causeMessage } from "./errorMessage.js"

type Step = Effect.Effect<unknown, unknown>

/** What `Drain.acquire` makes of its options: every step closed over its resource and its services. */
export interface Plan {
  readonly name: string
  readonly drainTimeout: Option.Option<Duration.Duration>
  readonly releaseTimeout: Option.Option<Duration.Duration>
  readonly quiesce: Option.Option<Step>
  readonly drain: Option.Option<Step>
  readonly interrupt: Option.Option<Step>
  readonly release: Option.Option<(exit: Exit.Exit<unknown, unknown>) => Step>
  readonly progress: Option.Option<() => Progress>
  readonly condition: Option.Option<() => string | undefined>
}

/** `quiesce` may run ahead of `run`, and is not run again by it. Both are bounded and never fail. */
export interface Finalizer {
  readonly quiesce: Effect.Effect<void>
  readonly run: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

const nothing: Progress = { inFlight: 0, finished: 0, handedBack: 0, cut: 0 }

/**
 * Runs at most once; who comes later waits for the first. Not `Effect.cached`: that replays the changes of fiber refs, and
 * an interruption that came meanwhile is one of them: everybody who asks later would find itself interrupted.
 */
const once = <In extends Array<unknown>, A>(
  f: (...input: In) => Effect.Effect<A>
): Effect.Effect<(...input: In) => Effect.Effect<A>> =>
  Effect.zipWith(Ref.make(false), Deferred.make<A>(), (started, done) => (...input) =>
    Effect.uninterruptible(
      Effect.flatMap(
        Ref.getAndSet(started, true),
        (already) => already ? Effect.void : Effect.intoDeferred(f(...input), done)
      ).pipe(Effect.zipRight(Deferred.await(done)))
    ))

/** Registers the plan with the shutdown, and makes the two entries of its release. */
export const makeFinalizer = (plan: Plan): Effect.Effect<Finalizer> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const { config } = shutdown
    const notes = yield* Ref.make<{ reason?: string; failure?: string }>({})
    const registration: Registration = yield* shutdown.register({
      name: plan.name,
      drainTimeout: plan.drainTimeout,
      progress: plan.progress,
      condition: plan.condition,
      finalize: Effect.suspend(() => run(Exit.void))
    })

    /** A drain gets what remains, less the reserve. Unlimited and without a bound of its own, the default grace. */
    const drainShare = Effect.map(shutdown.remaining, (remaining) => {
      const own = Option.getOrElse(plan.drainTimeout, () =>
        Duration.isFinite(remaining) ? remaining : defaults.gracePeriod)
      return Duration.min(own, Duration.subtract(remaining, config.reserve))
    })

    /** An interrupt or a release takes no more than half of the reserve's rest, so that there is always some left. */
    const releaseShare = Effect.map(shutdown.remaining, (remaining) =>
      Duration.min(
        Option.getOrElse(plan.releaseTimeout, () =>
          config.releaseTimeout),
        Duration.max(Duration.subtract(remaining, config.reserve), Duration.times(remaining, 0.5))
      ))

    /** Runs one step within its share. What goes wrong is noted, never thrown: the next step must run. */
    const attempt = (
      name: string,
      step: Step,
      share: Effect.Effect<Duration.Duration>,
      cut?: Effect.Effect<void>
    ): Effect.Effect<"Done" | "Failed" | "Overdue"> =>
      Effect.gen(function*() {
        const within = yield* share
        const from = yield* Clock.currentTimeMillis
        // Not to be told from the time it took: a timer may be a moment ahead of the clock.
        const expedited = yield* Ref.make(false)
        const noted = cut === undefined ? {} : { cut: Effect.zipRight(cut, Ref.set(expedited, true)) }
        const exit = yield* bounded({ within, ...noted })(step)
        const took = Duration.millis((yield* Clock.currentTimeMillis) - from)
        if (Option.isNone(exit)) {
          const reason = (yield* Ref.get(expedited))
            ? `${name} expedited after ${shortDuration(took)}`
            : `${name} not done within ${shortDuration(within)}`
          yield* Ref.update(
            notes,
            (_) => ({ ..._, reason: _.reason === undefined ? reason : `${_.reason}, ${reason}` })
          )
          return "Overdue"
        }
        if (Exit.isFailure(exit.value)) {
          const failure = `${name} failed: ${causeMessage(exit.value.cause)}`
          yield* Ref.update(notes, (_) => ({ ..._, failure: _.failure ?? failure }))
          return "Failed"
        }
        return "Done"
      })

    const progress = Option.match(plan.progress, {
      onNone: () => Effect.succeed(nothing),
      onSome: (f) => Effect.catchAllCause(Effect.sync(f), () => Effect.succeed(nothing))
    })
    const baseline = (yield* once(() => progress))()

    const quiesce = (yield* once(() =>
      Effect.gen(function*() {
        yield* baseline
        if (Option.isSome(plan.quiesce)) {
          yield* attempt("quiesce", plan.quiesce.value, releaseShare, shutdown.expedited)
          yield* registration.stage("quiesced")
        }
      })
    ))()

    const settle: Effect.Effect<Outcome> = Effect.gen(function*() {
      if (Option.isNone(plan.drain)) return "Drained"
      yield* registration.stage("draining")
      if ((yield* attempt("drain", plan.drain.value, drainShare, shutdown.expedited)) === "Done") return "Drained"
      if (Option.isNone(plan.interrupt)) return "Interrupted"
      yield* registration.stage("interrupting")
      return (yield* attempt("interrupt", plan.interrupt.value, releaseShare)) === "Overdue"
        ? "Abandoned"
        : "Interrupted"
    })

    const release = (exit: Exit.Exit<unknown, unknown>, settled: Outcome): Effect.Effect<Outcome> =>
      Effect.gen(function*() {
        if (Option.isNone(plan.release)) return settled
        yield* registration.stage("releasing")
        return (yield* attempt("release", plan.release.value(exit), releaseShare)) === "Overdue" ? "Abandoned" : settled
      })

    const steps = (exit: Exit.Exit<unknown, unknown>) =>
      Effect.gen(function*() {
        const begin = yield* shutdown.elapsed
        const from = yield* Clock.currentTimeMillis
        yield* quiesce
        const settled = yield* release(exit, yield* settle)
        const before = yield* baseline
        const after = yield* progress
        const cut = Option.isNone(plan.progress)
          ? (settled === "Drained" ? 0 : 1)
          : after.cut - before.cut + (settled === "Drained" ? 0 : after.inFlight)
        // A drain may cut what cannot finish, such as a request whose client has fallen silent: that is no drain.
        const outcome = settled === "Drained" && cut > 0 ? "Interrupted" : settled
        yield* registration.ended(
          new DrainReport({
            name: registration.name,
            outcome,
            started: begin,
            elapsed: Duration.millis((yield* Clock.currentTimeMillis) - from),
            finished: after.finished - before.finished,
            handedBack: after.handedBack - before.handedBack,
            cut,
            ...(yield* Ref.get(notes))
          })
        )
      })

    const run: Finalizer["run"] = yield* once(steps)
    return { quiesce, run }
  })
