import { assert, describe, it } from "@effect/vitest"
import { Cron, DateTime, Effect, Exit, Layer, Option, TestClock } from "effect"
import * as ScheduledJob from "../../../src/layers/jobs/ScheduledJob.js"
import * as WallClock from "../../kit/wallClock.js"
import { makeScheduleWorld } from "./ScheduledJobWorld.js"
import { makeWorld } from "./WorkerPoolWorld.js"

const everyMinute = Cron.unsafeParse("* * * * *", "UTC")
const never = Effect.fail(new Error("no connection"))

const statusOf = (job: ScheduledJob.Service) =>
  Effect.map(job.status, ({ lastRun, nextRunAt }) => ({
    next: Option.map(nextRunAt, DateTime.formatIso).pipe(Option.getOrNull),
    last: Option.map(lastRun, ({ id, state }) => `${id} ${state}`).pipe(Option.getOrNull)
  }))

describe("ScheduledJob", () => {
  it.effect("runs at the times of a cron, once for however many processes", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      for (let n = 0; n < 3; n++) yield* start({ schedule: Cron.unsafeParse("*/2 * * * *", "UTC") })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(entries, ["120s ran for 120s", "240s ran for 240s"])
    }))

  it.effect("runs at the multiples of an interval, whenever its processes start", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      yield* TestClock.adjust("7 seconds")
      yield* start({ schedule: "10 seconds" })
      yield* TestClock.adjust("8 seconds")
      yield* start({ schedule: "10 seconds" })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(entries, ["10s ran for 10s", "20s ran for 20s"])
    }))

  it.effect("goes on while one process after the other is stopped and started", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      let process = yield* start({ schedule: everyMinute })
      for (let n = 0; n < 4; n++) {
        yield* TestClock.adjust("45 seconds")
        const next = yield* start({ schedule: everyMinute })
        yield* process.stop
        process = next
      }
      assert.deepStrictEqual(entries, ["60s ran for 60s", "120s ran for 120s", "180s ran for 180s"])
    }))

  it.effect("skips the ticks that pass during a run, whichever process it is in", () =>
    Effect.gen(function*() {
      const { entries, mostAtATime, start } = yield* makeScheduleWorld
      for (let n = 0; n < 2; n++) yield* start({ schedule: everyMinute, takes: "150 seconds" })
      yield* TestClock.adjust("6 minutes")
      assert.deepStrictEqual(entries, ["60s ran for 60s", "240s ran for 240s"])
      assert.strictEqual(yield* mostAtATime, 1)
    }))

  it.effect("runs the ticks that pass during a run after it, one at a time over all processes", () =>
    Effect.gen(function*() {
      const { entries, mostAtATime, start } = yield* makeScheduleWorld
      for (let n = 0; n < 3; n++) yield* start({ schedule: everyMinute, overlap: "queue", takes: "100 seconds" })
      yield* TestClock.adjust("6 minutes")
      assert.deepStrictEqual(entries.map((entry) => entry.replace(/^\S+/, "")), [
        " ran for 60s",
        " ran for 120s",
        " ran for 180s"
      ])
      const [, second, third] = entries.map((entry) => parseFloat(entry))
      assert.isAtLeast(second!, 160)
      assert.isAtMost(second!, 165)
      assert.isAtLeast(third!, second! + 100)
      assert.isAtMost(third!, second! + 105)
      assert.strictEqual(yield* mostAtATime, 1)
    }))

  it.effect("makes up for the ticks that passed while no process was there, as `missed` says", () =>
    Effect.gen(function*() {
      const missedRuns = (missed: ScheduledJob.Options<unknown, Error, never>["missed"]) =>
        Effect.gen(function*() {
          const { entries, start } = yield* makeScheduleWorld
          const first = yield* start({ schedule: "2 minutes", missed })
          const begin = yield* DateTime.now
          yield* first.stop
          yield* TestClock.adjust("450 seconds")
          yield* start({ schedule: "2 minutes", missed })
          yield* TestClock.adjust("30 seconds")
          return entries.map((entry) =>
            entry.replace(/[\d.]+/g, (at) => String(Math.floor(Number(at) - begin.epochMillis / 1000)))
          )
        })
      assert.deepStrictEqual(yield* missedRuns("skip"), ["480s ran for 480s"])
      assert.deepStrictEqual(yield* missedRuns("once"), ["450s ran for 360s", "480s ran for 480s"])
      assert.deepStrictEqual(yield* missedRuns("all"), [
        "450s ran for 120s",
        "450s ran for 240s",
        "450s ran for 360s",
        "480s ran for 480s"
      ])
    }))

  it.effect("runs a tick that no process took for less than `missedAfter`", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      const first = yield* start({ schedule: "10 minutes" })
      yield* first.stop
      yield* TestClock.adjust("630 seconds")
      yield* start({ schedule: "10 minutes" })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(entries, ["630s ran for 600s"])
    }))

  it.effect("goes on after a tick whose run has become a dead letter, also when that is discarded", () =>
    Effect.gen(function*() {
      const { start } = yield* makeScheduleWorld
      const { job } = yield* start({ schedule: everyMinute, overlap: "queue", permanent: () => true, run: () => never })
      yield* TestClock.adjust("1 minute")
      const [letter] = yield* job.deadLetters.list(10)
      assert.strictEqual(letter!.id, "job@1970-01-01T00:01:00.000Z")
      yield* job.deadLetters.discard([letter!.id])
      yield* TestClock.adjust("2 minutes")
      const letters = yield* job.deadLetters.list(10)
      assert.deepStrictEqual(letters.map(({ id }) => id), [
        "job@1970-01-01T00:02:00.000Z",
        "job@1970-01-01T00:03:00.000Z"
      ])
    }))

  it.effect("hands a run that exceeds the drain timeout back, with its attempt, to another process", () =>
    Effect.gen(function*() {
      const { entries, note, start } = yield* makeScheduleWorld
      const options = (process: string, work: Effect.Effect<void>) => ({
        schedule: "2 minutes" as const,
        run: ({ scheduledAt }: ScheduledJob.Tick, job: { readonly attempt: number }) =>
          Effect.zipRight(note(`${process} ${scheduledAt.epochMillis / 1000}s, attempt ${job.attempt}`), work)
      })
      const first = yield* start({ ...options("first", Effect.never), drainTimeout: "1 second" })
      yield* TestClock.adjust("2 minutes")
      const stopping = yield* Effect.fork(first.stop)
      yield* start(options("second", Effect.void))
      yield* TestClock.adjust("2 minutes")
      yield* stopping.await
      assert.deepStrictEqual(entries, [
        "120s first 120s, attempt 1",
        "121s second 120s, attempt 1",
        "240s second 240s, attempt 1"
      ])
    }))

  it.effect("takes the schedule of the process that was started last, within half a minute, for all of them", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      yield* start({ schedule: "1 hour" })
      yield* TestClock.adjust("10 minutes")
      const second = yield* start({ schedule: "10 minutes" })
      yield* TestClock.adjust("25 minutes")
      assert.deepStrictEqual(entries, ["1200s ran for 1200s", "1800s ran for 1800s"])
      // The other process goes on with it for a while, and then has no company.
      yield* second.stop
      yield* TestClock.adjust("4 minutes")
      assert.strictEqual((yield* statusOf(second.job)).next, "1970-01-01T00:40:00.000Z")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* statusOf(second.job)).next, "1970-01-01T01:00:00.000Z")
    }))

  it.effect("says when it runs next, and what became of the last run", () =>
    Effect.gen(function*() {
      const { start } = yield* makeScheduleWorld
      const { job } = yield* start({ schedule: everyMinute, takes: "10 seconds" })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* statusOf(job), { next: "1970-01-01T00:01:00.000Z", last: null })
      yield* TestClock.adjust("1 minute")
      const id = "job@1970-01-01T00:01:00.000Z"
      assert.deepStrictEqual(yield* statusOf(job), { next: "1970-01-01T00:02:00.000Z", last: `${id} Running` })
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* statusOf(job), { next: "1970-01-01T00:02:00.000Z", last: `${id} Ended` })
    }))

  it.effect("runs at once when it is asked, and keeps its schedule", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      const { job } = yield* start({ schedule: everyMinute })
      yield* TestClock.adjust("20 seconds")
      yield* job.runNow
      yield* TestClock.adjust("40 seconds")
      assert.deepStrictEqual(entries, ["20s ran for 20s", "60s ran for 60s"])
    }))

  it.effect("begins no run while one of the processes has paused it, and treats the ticks of that time as missed", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      const processes = yield* Effect.all([
        start({ schedule: everyMinute, missed: "once" }),
        start({ schedule: everyMinute, missed: "once" })
      ])
      yield* processes[0].job.pause
      yield* TestClock.adjust("150 seconds")
      assert.isTrue((yield* processes[1].job.status).paused)
      yield* processes[1].job.runNow
      yield* processes[1].job.resume
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(entries, ["150s ran for 150s", "150s ran for 120s", "180s ran for 180s"])
    }))

  it.effect("offers no tick once the shutdown has begun, and lets a run end", () =>
    Effect.gen(function*() {
      const { entries, start } = yield* makeScheduleWorld
      const { lameDuck } = yield* start({ schedule: everyMinute, takes: "90 seconds", overlap: "queue" })
      yield* TestClock.adjust("1 minute")
      yield* lameDuck
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(entries, ["60s ran for 60s"])
    }))

  it.effect("is back within a minute when its job was lost", () =>
    Effect.gen(function*() {
      const { entries, open, start } = yield* makeScheduleWorld
      yield* start({ schedule: everyMinute })
      yield* TestClock.adjust("70 seconds")
      const queue = yield* open("job/schedule")
      yield* TestClock.adjust("20 seconds")
      const claims = yield* queue.claim(1)
      yield* Effect.forEach(claims, (claim) => queue.transact(claim, Effect.void, { _tag: "Ack" }))
      assert.isTrue(Option.isNone(yield* queue.find("job")) || claims.length === 0)
      yield* TestClock.adjust("2 minutes")
      assert.include(entries, "180s ran for 180s")
    }).pipe(Effect.scoped))

  it.effect("runs a tick of an hour that a clock was set past, and none again when it is set back a little", () =>
    Effect.gen(function*() {
      const { clock, step } = yield* WallClock.make
      yield* Effect.gen(function*() {
        const { entries, start } = yield* makeScheduleWorld
        yield* start({ schedule: "1 hour", missed: "once" })
        yield* TestClock.adjust("1 minute")
        yield* step("2 hours", "Forward")
        yield* TestClock.adjust("30 seconds")
        assert.deepStrictEqual(entries, ["7290s ran for 7200s"])
        yield* step("10 minutes", "Back")
        yield* TestClock.adjust("30 minutes")
        assert.strictEqual(entries.length, 1)
        yield* step("5 hours", "Back")
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(entries.length, 2)
      }).pipe(Effect.withClock(clock))
    }))

  it.scoped("does not start, and says why, over a source without room for its schedule", () =>
    Effect.gen(function*() {
      const { open, scoped } = yield* makeWorld({ durable: true, capacity: 1 })
      const queue = yield* open("job/schedule")
      yield* queue.offer(["somebody else's"])
      const error = yield* Effect.flip(scoped(Layer.scopedDiscard(ScheduledJob.make({
        name: "job",
        schedule: everyMinute,
        run: () => Effect.void
      }))))
      assert.strictEqual(error.message, "job/schedule: offer failed: job/schedule: the queue is full (capacity 1)")
    }))

  it.effect("dies with a cron that names no time, and with an interval below a second", () =>
    Effect.gen(function*() {
      const { start } = yield* makeScheduleWorld
      assert.isTrue(Exit.isFailure(yield* Effect.exit(start({ schedule: Cron.unsafeParse("0 0 30 2 *", "UTC") }))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(start({ schedule: "10 millis" }))))
    }))
})
