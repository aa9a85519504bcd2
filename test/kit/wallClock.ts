import { Clock, Duration, Effect, Ref, TestClock } from "effect"

interface WallClock {
  /** The current `TestClock`, whose wall time can be set. Provide it with `Effect.withClock`. */
  readonly clock: TestClock.TestClock
  /** Sets the wall time back or forward, and nothing else: sleeps and the monotonic time go on. */
  readonly step: (by: Duration.DurationInput, direction: "Back" | "Forward") => Effect.Effect<void>
}

/** As NTP, an operator or a resumed virtual machine does it: the wall time of a process is set while it runs. */
export const make: Effect.Effect<WallClock> = Effect.gen(function*() {
  const test = yield* TestClock.testClock()
  const ahead = yield* Ref.make(0)
  const clock: TestClock.TestClock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    currentTimeMillis: Effect.zipWith(test.currentTimeMillis, Ref.get(ahead), (now, ahead) => now + ahead),
    unsafeCurrentTimeMillis: () => test.unsafeCurrentTimeMillis() + Effect.runSync(Ref.get(ahead)),
    currentTimeNanos: test.currentTimeNanos,
    unsafeCurrentTimeNanos: () => test.unsafeCurrentTimeNanos(),
    sleep: (duration) => test.sleep(duration),
    adjust: (duration) => test.adjust(duration),
    adjustWith: (duration) => test.adjustWith(duration),
    save: test.save,
    setTime: (instant) => test.setTime(instant),
    sleeps: test.sleeps
  }
  return {
    clock,
    step: (by, direction) =>
      Ref.update(ahead, (ahead) => ahead + Duration.toMillis(by) * (direction === "Forward" ? 1 : -1))
  }
})
