import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Option } from "effect"
import { resolve } from "../../src/core/ShutdownConfig.js"

const withEnvironment = (entries: Record<string, string>) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(entries))))

describe("ShutdownConfig", () => {
  it.effect("prefers options to the environment, and the environment to defaults", () =>
    Effect.gen(function*() {
      const config = yield* resolve({ gracePeriod: "10 seconds" }).pipe(
        withEnvironment({ GRACE_PERIOD: "20s", PRE_STOP_DELAY: "3 seconds" })
      )
      assert.deepStrictEqual(config, {
        gracePeriod: Duration.seconds(10),
        preStopDelay: Duration.seconds(3),
        releaseTimeout: Duration.seconds(5),
        reserve: Duration.seconds(1),
        signals: ["SIGTERM", "SIGINT", "SIGHUP"],
        duplicateWindow: Duration.millis(500),
        reportFile: Option.none()
      })
    }))

  for (const [text, millis] of [["250ms", 250], ["1.5s", 1500], ["2m", 120_000], ["3 seconds", 3000]] as const) {
    it.effect(`parses a grace period of "${text}"`, () =>
      Effect.gen(function*() {
        const { gracePeriod } = yield* resolve().pipe(withEnvironment({ GRACE_PERIOD: text }))
        assert.strictEqual(Duration.toMillis(gracePeriod), millis)
      }))
  }

  for (const text of ["", "25", "soon", "-1s", "5 fortnights", "1e3s", "Infinity seconds"]) {
    it.effect(`refuses a grace period of "${text}" with the expected format`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(resolve().pipe(withEnvironment({ GRACE_PERIOD: text })))
        assert.include(String(error), "GRACE_PERIOD")
        assert.include(
          String(error),
          `Expected a duration with its unit, such as "25s" or "500 millis", but received "${text}"`
        )
      }))
  }

  it.effect("refuses a delay and a reserve that fill the grace period, with the arithmetic", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(resolve({ gracePeriod: "10 seconds", preStopDelay: "9 seconds" }))
      assert.strictEqual(
        String("message" in error ? error.message : error),
        "gracePeriod 10s leaves no time to drain: preStopDelay 9s + 1s kept back for releases must be less than the " +
          "grace period. Raise GRACE_PERIOD or lower PRE_STOP_DELAY."
      )
    }))

  for (const option of ["gracePeriod", "preStopDelay", "releaseTimeout", "duplicateWindow"] as const) {
    it.effect(`refuses a malformed ${option} by its name`, () =>
      Effect.forEach(["soon", NaN, -1, "-1 seconds", Infinity], (input) =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(resolve({ [option]: input as never }))
          assert.strictEqual(
            String(error),
            `(Invalid data at ${option}: "Expected a finite duration of zero or more, but received ${input}")`
          )
        })))
  }
})
