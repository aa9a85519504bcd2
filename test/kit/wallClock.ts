import { Clock, Duration, Effect, TestClock } from "effect"

/** The clock, with a wall time that is ahead of its own; its sleeps and its monotonic time are the same. */
export const ahead = (clock: Clock.Clock, millis: () => number): Clock.Clock => ({
  [Clock.ClockTypeId]: Clock.ClockTypeId,
  currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis()),
  unsafeCurrentTimeMillis: () => clock.unsafeCurrentTimeMillis() + millis(),
  currentTimeNanos: clock.currentTimeNanos,
  unsafeCurrentTimeNanos: () => clock.unsafeCurrentTimeNanos(),
  sleep: (duration) => clock.sleep(duration)
})

interface WallClock {
  /** The current `TestClock`, whose wall time can be set. Provide it with `Effect.withClock`. */
  readonly clock: TestClock.TestClock
  /** Sets the wall time back or forward, and nothing else: sleeps and the monotonic time go on. */
  readonly step: (by: Duration.DurationInput, direction: "Back" | "Forward") => Effect.Effect<void>
}

/** As NTP, an operator or a resumed virtual machine does it: the wall time of a process is set while it runs. */
export const make: Effect.Effect<WallClock> = Effect.gen(function*() {
  const test = yield* TestClock.testClock()
  let offset = 0
  const clock: TestClock.TestClock = {
    ...ahead(test, () => offset),
    adjust: (duration) => test.adjust(duration),
    adjustWith: (duration) => test.adjustWith(duration),
    save: test.save,
    setTime: (instant) => test.setTime(instant),
    sleeps: test.sleeps
  }
  return {
    clock,
    step: (by, direction) =>
      Effect.sync(() => {
        offset += Duration.toMillis(by) * (direction === "Forward" ? 1 : -1)
      })
  }
})
