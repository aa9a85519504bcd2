import { assert, describe, it } from "@effect/vitest"
import { Cron, DateTime, type Duration, Effect, Exit, Option, Schedule, Scope, TestClock } from "effect"
import { Shutdown } from "../../../src/core/Shutdown.js"
import * as ScheduledTask from "../../../src/layers/jobs/ScheduledTask.js"
import { until } from "../../kit/until.js"
import * as WallClock from "../../kit/wallClock.js"
import { makeWorld } from "./WorkerPoolWorld.js"

/** A task in a scope of its own, and the reports of its lifecycle. Its runs are noted, and take as long as `takes`. */
const scheduled = (
  options: Omit<ScheduledTask.Options<Error, never>, "name" | "run"> & {
    readonly takes?: Duration.DurationInput
    readonly run?: ScheduledTask.Options<Error, never>["run"]
  }
) =>
  Effect.gen(function*() {
    const { entries, lifecycle, note, reports } = yield* makeWorld()
    const { takes = 0, ...rest } = options
    const scope = yield* Scope.make()
    const task = yield* ScheduledTask.make({
      name: "task",
      run: ({ scheduledAt }) =>
        Effect.zipRight(note(`ran for ${scheduledAt.epochMillis / 1000}s`), Effect.sleep(takes)).pipe(
          Effect.onInterrupt(() => note("interrupted"))
        ),
      ...rest
    }).pipe(Scope.extend(scope), Effect.provideService(Shutdown, lifecycle.shutdown))
    const lameDuck = lifecycle.transition("LameDuck")
    return { task, entries, reports, lameDuck, stop: Scope.close(scope, Exit.void) }
  })

const everyMinute = Cron.unsafeParse("* * * * *", "UTC")

describe("ScheduledTask", () => {
  it.effect("runs at the times of a cron", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: Cron.unsafeParse("*/2 * * * *", "UTC") })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(entries, ["120s ran for 120s", "240s ran for 240s"])
    }))

  it.effect("runs after the delays of a schedule, counted from the end of a run, until the schedule ends", () =>
    Effect.gen(function*() {
      const { entries, task } = yield* scheduled({
        schedule: Schedule.intersect(Schedule.spaced("1 minute"), Schedule.recurs(2)),
        takes: "30 seconds"
      })
      yield* TestClock.adjust("10 minutes")
      assert.deepStrictEqual(entries, ["60s ran for 60s", "150s ran for 150s"])
      const { nextRunAt, state } = yield* task.status
      assert.deepStrictEqual([state, nextRunAt], ["Ended", Option.none()])
    }))

  it.effect("waits for a delay of a month, which no timer can", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: Schedule.spaced("30 days") })
      yield* TestClock.adjust("31 days")
      assert.deepStrictEqual(entries, ["2592000s ran for 2592000s"])
    }))

  it.effect("runs when it starts, too, if it is told so", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: everyMinute, runAtStart: true })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["0s ran for 0s", "60s ran for 60s"])
    }))

  it.effect("skips the ticks that pass during a run", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: everyMinute, takes: "150 seconds" })
      yield* TestClock.adjust("6 minutes")
      assert.deepStrictEqual(entries, ["60s ran for 60s", "240s ran for 240s"])
    }))

  it.effect("makes up once for the ticks that pass during a run", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: everyMinute, missed: "once", takes: "150 seconds" })
      yield* TestClock.adjust("6 minutes")
      assert.deepStrictEqual(entries, ["60s ran for 60s", "210s ran for 180s", "360s ran for 360s"])
    }))

  it.effect("makes up for each tick that passes during a run", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: everyMinute, missed: "all", takes: "90 seconds" })
      yield* TestClock.adjust("4 minutes")
      assert.deepStrictEqual(entries, ["60s ran for 60s", "150s ran for 120s", "240s ran for 180s"])
    }))

  it.effect("logs a run that fails, and runs at the next tick", () =>
    Effect.gen(function*() {
      const { reports, stop, task } = yield* scheduled({
        schedule: everyMinute,
        run: () => Effect.fail(new Error("no connection"))
      })
      yield* TestClock.adjust("2 minutes")
      const { lastRun } = yield* task.status
      assert.deepStrictEqual(
        Option.map(lastRun, ({ exit, startedAt }) => [Exit.isFailure(exit), startedAt.epochMillis]),
        Option.some([true, 120_000])
      )
      yield* stop
      assert.deepStrictEqual(yield* reports, [{ name: "task", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 }])
    }))

  it.effect("begins no run once the shutdown has begun, and lets one that runs end", () =>
    Effect.gen(function*() {
      const { entries, lameDuck, reports, stop, task } = yield* scheduled({
        schedule: everyMinute,
        takes: "20 seconds"
      })
      yield* TestClock.adjust("1 minute")
      yield* lameDuck
      yield* until("no run is accepted", task.runNow, (accepted) => !accepted)
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("20 seconds")
      yield* stopping.await
      assert.deepStrictEqual(entries, ["60s ran for 60s"])
      assert.deepStrictEqual(yield* reports, [{ name: "task", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }])
    }))

  it.effect("interrupts a run that exceeds the drain timeout, and counts it as cut", () =>
    Effect.gen(function*() {
      const { entries, reports, stop } = yield* scheduled({
        schedule: everyMinute,
        takes: "1 hour",
        drainTimeout: "5 seconds"
      })
      yield* TestClock.adjust("1 minute")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* stopping.await
      assert.deepStrictEqual(entries, ["60s ran for 60s", "65s interrupted"])
      assert.deepStrictEqual(yield* reports, [
        { name: "task", outcome: "Interrupted", finished: 0, handedBack: 0, cut: 1 }
      ])
    }))

  it.effect("runs at once when it is asked, once for all requests during a run, and keeps its schedule", () =>
    Effect.gen(function*() {
      const { entries, task } = yield* scheduled({ schedule: everyMinute, takes: "10 seconds" })
      yield* TestClock.adjust("20 seconds")
      assert.isTrue(yield* task.runNow)
      yield* TestClock.adjust("5 seconds")
      yield* task.runNow
      yield* task.runNow
      yield* TestClock.adjust("40 seconds")
      assert.deepStrictEqual(entries, ["20s ran for 20s", "30s ran for 30s", "60s ran for 60s"])
    }))

  it.effect("lets ticks pass without a run while it is paused", () =>
    Effect.gen(function*() {
      const { entries, task } = yield* scheduled({ schedule: everyMinute, missed: "all" })
      yield* task.pause
      yield* TestClock.adjust("90 seconds")
      const { nextRunAt, state } = yield* task.status
      assert.deepStrictEqual([state, Option.map(nextRunAt, DateTime.toEpochMillis)], ["Paused", Option.some(120_000)])
      yield* task.runNow
      yield* TestClock.adjust("1 minute")
      yield* task.resume
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(entries, ["90s ran for 90s", "180s ran for 180s"])
    }))

  it.effect("delays each run by a random part of the jitter", () =>
    Effect.gen(function*() {
      const { entries } = yield* scheduled({ schedule: everyMinute, jitter: "10 seconds" })
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(entries, [])
      yield* TestClock.adjust("11 seconds")
      assert.strictEqual(entries.length, 1)
      assert.match(entries[0]!, /^6\d(\.\d+)?s ran for 60s$/)
    }))

  it.effect("runs within half a minute when the clock is set forward past a tick", () =>
    Effect.gen(function*() {
      const { clock, step } = yield* WallClock.make
      yield* Effect.gen(function*() {
        const { entries } = yield* scheduled({ schedule: Cron.unsafeParse("0 * * * *", "UTC") })
        yield* TestClock.adjust("1 minute")
        yield* step("2 hours", "Forward")
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(entries, ["7290s ran for 7200s"])
      }).pipe(Effect.withClock(clock))
    }))

  it.effect("does not run a tick again when the clock is set back a little, and does when it was wrong by hours", () =>
    Effect.gen(function*() {
      const { clock, step } = yield* WallClock.make
      yield* Effect.gen(function*() {
        const { entries } = yield* scheduled({ schedule: Cron.unsafeParse("0 * * * *", "UTC") })
        yield* TestClock.adjust("1 hour")
        yield* step("1 minute", "Back")
        yield* TestClock.adjust("10 minutes")
        assert.deepStrictEqual(entries, ["3600s ran for 3600s"])
        yield* step("5 hours", "Back")
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(entries.slice(1), ["-10800s ran for -10800s"])
      }).pipe(Effect.withClock(clock))
    }))

  it.effect("waits for the delay of a schedule whatever happens to the clock", () =>
    Effect.gen(function*() {
      const { clock, step } = yield* WallClock.make
      yield* Effect.gen(function*() {
        const { entries, task } = yield* scheduled({ schedule: Schedule.spaced("1 minute") })
        yield* until("the next run is known", task.status, ({ nextRunAt }) => Option.isSome(nextRunAt))
        yield* step("1 hour", "Back")
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(entries, ["-3540s ran for 60s"])
      }).pipe(Effect.withClock(clock))
    }))

  it.effect("dies with a cron that names no time", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(scheduled({ schedule: Cron.unsafeParse("0 0 30 2 *", "UTC") }))
      assert.isTrue(Exit.isFailure(exit))
    }))
})
