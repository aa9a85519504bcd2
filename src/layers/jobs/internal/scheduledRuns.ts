import { Cause, Clock, DateTime, Effect, Exit, Fiber, Option } from "effect"
import * as Drain from "../../../core/Drain.js"
import { defaultDaemonTimeout, makeDaemons } from "../../../core/internal/daemons.js"
import { makeInFlight } from "../../../core/internal/inFlight.js"
import type { Ticks } from "./ticks.js"

interface Options<R, R2> extends Drain.Timeouts, Pick<Drain.Steps<unknown>, "quiesceOn"> {
  readonly name: string
  readonly ticks: Ticks<R2>
  readonly runAtStart: boolean
  /** One run, for the tick at this time. */
  readonly run: (at: number) => Effect.Effect<unknown, unknown, R>
}

const utcNow = Effect.map(Clock.currentTimeMillis, (millis) => DateTime.unsafeMake(millis))

interface Run {
  readonly startedAt: DateTime.Utc
  readonly endedAt: DateTime.Utc
  readonly exit: Exit.Exit<unknown, unknown>
}

/** Runs the ticks one after the other, under a `Drain`. Returns `ScheduledTask.Service`. */
export const makeTask = <R, R2>({ name, quiesceOn, run, runAtStart, ticks, ...timeouts }: Options<R, R2>) =>
  Effect.gen(function*() {
    // Released after the runs.
    const daemons = yield* makeDaemons({
      name,
      daemonTimeout: defaultDaemonTimeout,
      releaseTimeout: timeouts.releaseTimeout
    })
    const runs = yield* makeInFlight<void>()
    const counts = { finished: 0, handedBack: 0, cut: 0 }
    let state: "Open" | "Crashed" | "Stopped" | "Interrupting" = "Open"
    let paused = false
    let ended = false
    let lastRun: Option.Option<Run> = Option.none()
    /** Open while a run is asked for. */
    const requested = yield* Effect.makeLatch(runAtStart)

    const record = (startedAt: DateTime.Utc, exit: Exit.Exit<unknown, unknown>) =>
      Effect.flatMap(utcNow, (endedAt) => {
        const cut = state === "Interrupting" && Exit.isFailure(exit) && Cause.isInterrupted(exit.cause)
        counts[cut ? "cut" : "finished"]++
        lastRun = Option.some({ startedAt, endedAt, exit })
        return Exit.isFailure(exit) && !cut ? Effect.logError(`${name}: a run failed`, exit.cause) : Effect.void
      })
    const runOnce = (at: number) =>
      Effect.gen(function*() {
        const startedAt = yield* utcNow
        const exit = yield* Effect.suspend(() => run(at)).pipe(
          Effect.withSpan(`${name}.run`, { root: true, captureStackTrace: false }),
          Effect.interruptible,
          Effect.exit
        )
        yield* record(startedAt, exit)
      })

    /** Waits for the next tick, or for a request. None when there is no further tick: then only a request counts. */
    const next = Effect.raceFirst(
      Effect.flatMap(ticks.wait, (tick) => {
        ended = Option.isNone(tick)
        return Option.match(tick, { onNone: () => Effect.never, onSome: (at) => Effect.succeed({ at, asked: false }) })
      }),
      Effect.zipRight(requested.await, Effect.map(Clock.currentTimeMillis, (at) => ({ at, asked: true })))
    )
    // Only the waits are interruptible, so that no tick is taken without its run.
    const loop = Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const { asked, at } = yield* restore(next)
        if (asked) yield* requested.close
        if (asked || !paused) {
          yield* runs.fork(undefined, daemons.own(runOnce(at)))
          yield* restore(runs.awaitEmpty)
        }
        yield* ticks.advance(asked ? "Other" : "Tick")
      })
    ).pipe(
      Effect.forever,
      // A defect of the schedule: those of runs are in their exits.
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.void : Effect.suspend(() => {
          state = "Crashed"
          return Effect.logError(`${name}: the schedule failed, it runs no more`, cause)
        })
      )
    )

    yield* Drain.acquire({
      ...timeouts,
      name,
      quiesceOn,
      // Interruptible, because `acquire` is not, and a fiber inherits the region that forks it.
      acquire: Effect.forkDaemon(Effect.interruptible(loop)),
      quiesce: (fiber) =>
        Effect.suspend(() => {
          state = "Stopped"
          return Fiber.interrupt(fiber)
        }),
      drain: () => runs.awaitEmpty,
      interrupt: () =>
        Effect.suspend(() => {
          state = "Interrupting"
          return runs.interruptAll
        }),
      progress: () => ({ inFlight: runs.size(), ...counts }),
      condition: () => state === "Crashed" ? "Crashed" : undefined
    })

    const stateNow = (): "Running" | "Stopped" | "Crashed" | "Ended" | "Paused" | "Waiting" => {
      if (runs.size() > 0) return "Running"
      if (state !== "Open") return state === "Crashed" ? "Crashed" : "Stopped"
      if (ended) return "Ended"
      return paused ? "Paused" : "Waiting"
    }
    const setPaused = (value: boolean) =>
      Effect.sync(() => {
        paused = value
      })
    return {
      name,
      status: Effect.sync(() => {
        const now = stateNow()
        return {
          state: now,
          nextRunAt: now === "Waiting" || now === "Paused"
            ? Option.map(ticks.nextAt(), (millis) => DateTime.unsafeMake(millis))
            : Option.none(),
          lastRun
        }
      }),
      runNow: Effect.suspend(() => state === "Open" ? Effect.as(requested.open, true) : Effect.succeed(false)),
      pause: setPaused(true),
      resume: setPaused(false)
    }
  })
