import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Ref, Scope, TestClock } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { Shutdown } from "../../src/core/Shutdown.js"
import * as Interruption from "../../src/testing/Interruption.js"
import * as Journal from "../../src/testing/Journal.js"
import * as TestApp from "../../src/testing/TestApp.js"
import { long } from "../kit/long.js"

/** A resource that writes each of its steps to the journal. */
const noted = (journal: Journal.Journal, options: Partial<Drain.Steps<string>> = {}) => {
  const step = (name: "quiesce" | "drain" | "interrupt" | "release") => (resource: string) =>
    Effect.zipRight(journal.note(`${name} ${resource}`), options[name]?.(resource, Exit.void) ?? Effect.void)
  return Drain.acquire({
    ...options,
    name: "resource",
    acquire: Effect.as(journal.note("acquire"), "it"),
    quiesce: step("quiesce"),
    drain: step("drain"),
    interrupt: step("interrupt"),
    release: step("release")
  })
}

/** A resource as `Shutdown.register` receives it. */
const registered = Effect.gen(function*() {
  const { shutdown, snapshot } = yield* Lifecycle.make()
  yield* Effect.provideService(Drain.acquire({ name: "registered", acquire: Effect.void }), Shutdown, shutdown)
  return (yield* snapshot).resources[0]!
})

/** Closes the scope in the background, lets this much time pass, and returns the journal. */
const closeAfter = (journal: Journal.Journal, options: Partial<Drain.Steps<string>>, millis: number) =>
  Effect.gen(function*() {
    const closing = yield* Effect.forkDaemon(Effect.scoped(noted(journal, options)))
    yield* TestClock.adjust(millis)
    return [...(yield* journal.lines), (yield* closing.poll)._tag === "Some" ? "closed" : "open"]
  })

describe("Drain.acquire", () => {
  it.effect("quiesces, drains and releases, and does not interrupt after a complete drain", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      assert.deepStrictEqual(
        yield* closeAfter(journal, { drain: () => Effect.sleep("2 seconds") }, 2000),
        ["0ms acquire", "0ms quiesce it", "0ms drain it", "2s release it", "closed"]
      )
    }))

  it.effect("interrupts after the drain timeout", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      assert.deepStrictEqual(
        yield* closeAfter(journal, { drain: () => Effect.never, drainTimeout: "3 seconds" }, 3000),
        ["0ms acquire", "0ms quiesce it", "0ms drain it", "3s interrupt it", "3s release it", "closed"]
      )
    }))

  it.scoped("shows a condition or a progress that throws as a condition", () =>
    Effect.gen(function*() {
      const { shutdown, snapshot } = yield* Lifecycle.make()
      const broken = () => {
        throw new TypeError("postgres://secret is not a url")
      }
      const options = { acquire: Effect.void }
      yield* Effect.all([
        Drain.acquire({ ...options, name: "printer", condition: broken }),
        Drain.acquire({ ...options, name: "mailer", progress: broken }),
        Drain.acquire({ ...options, name: "queue", progress: broken, condition: () => "full" }),
        shutdown.register({ ...(yield* registered), name: "registered", condition: broken, progress: broken })
      ]).pipe(Effect.provideService(Shutdown, shutdown))
      assert.deepStrictEqual(yield* shutdown.conditions, {
        printer: "its condition throws TypeError",
        mailer: "its progress throws TypeError",
        queue: "full",
        registered: "its condition throws TypeError"
      })
      assert.deepStrictEqual((yield* snapshot).resources.map(({ progress }) => progress().inFlight), [0, 0, 0, 0])
    }))

  it.effect("accepts zero as a timeout", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      assert.deepStrictEqual(
        yield* closeAfter(journal, { drain: () => Effect.never, drainTimeout: 0, releaseTimeout: 0 }, 0),
        ["0ms acquire", "0ms quiesce it", "0ms drain it", "0ms interrupt it", "0ms release it", "closed"]
      )
    }))

  it.effect("runs every step when each of them hangs and ignores its interruption", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const hung = () => Effect.uninterruptible(Effect.never)
      assert.deepStrictEqual(
        yield* closeAfter(
          journal,
          { quiesce: hung, drain: hung, interrupt: hung, release: hung, drainTimeout: "10 seconds" },
          25_000
        ),
        ["0ms acquire", "0ms quiesce it", "5s drain it", "15s interrupt it", "20s release it", "closed"]
      )
    }))

  it.effect("runs every step when each of them dies", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const dies = () => Effect.die(new Error("no"))
      assert.deepStrictEqual(
        yield* closeAfter(journal, { quiesce: dies, drain: dies, interrupt: dies, release: dies }, 0),
        ["0ms acquire", "0ms quiesce it", "0ms drain it", "0ms interrupt it", "0ms release it", "closed"]
      )
    }))

  it.effect("drains for 25 seconds without launch and without a timeout of its own", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      assert.deepStrictEqual(
        yield* closeAfter(journal, { drain: () => Effect.never }, 25_000),
        ["0ms acquire", "0ms quiesce it", "0ms drain it", "25s interrupt it", "25s release it", "closed"]
      )
    }))

  it.effect("releases once when its scope is closed twice", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const scope = yield* Scope.make()
      yield* Scope.extend(noted(journal), scope)
      yield* Scope.close(scope, Exit.void)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* journal.lines, ["0ms acquire", "0ms quiesce it", "0ms drain it", "0ms release it"])
    }))

  it.effect("releases nothing when the acquire fails", () =>
    Effect.gen(function*() {
      const released = yield* Ref.make(false)
      const exit = yield* Effect.exit(Effect.scoped(
        Drain.acquire({ name: "it", acquire: Effect.fail("refused"), release: () => Ref.set(released, true) })
      ))
      assert.deepStrictEqual(exit, Exit.fail("refused"))
      assert.isFalse(yield* Ref.get(released))
    }))

  it.effect("releases a resource whose acquire was interrupted", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const acquiring = yield* Deferred.make<void>()
      const fiber = yield* Effect.fork(Effect.scoped(Drain.acquire({
        name: "slow",
        acquire: Effect.zipRight(Deferred.succeed(acquiring, void 0), Effect.sleep("1 second")),
        release: () => journal.note("released")
      })))
      yield* Deferred.await(acquiring)
      yield* Fiber.interruptFork(fiber)
      yield* TestClock.adjust("1 second")
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(yield* journal.lines, ["1s released"])
    }))

  it.scoped("with quiesceOn LameDuck quiesces once, as soon as a shutdown is requested", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const app = yield* TestApp.start(
        Layer.scopedDiscard(noted(journal, { quiesceOn: "LameDuck" })),
        { preStopDelay: "5 seconds" }
      )
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.deepStrictEqual(
        yield* journal.lines,
        ["0ms acquire", "0ms quiesce it", "5s drain it", "5s release it"]
      )
    }))

  it.scoped("refuses a timeout that can never be reached, with the arithmetic", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const error = yield* Effect.flip(TestApp.start(
        Layer.scopedDiscard(noted(journal, { drainTimeout: "20 seconds" })),
        { gracePeriod: "20 seconds", preStopDelay: "5 seconds" }
      ))
      assert.strictEqual(
        error.message,
        "cannot start: resource: drainTimeout 20s can never be reached: gracePeriod 20s - preStopDelay 5s - 2s kept " +
          "back for releases leaves 13s."
      )
    }))

  it.scoped("fails the acquire of a running app whose timeout can never be reached, before anything is acquired", () =>
    Effect.gen(function*() {
      const journal = yield* Journal.make
      const error = yield* Deferred.make<unknown>()
      const app = yield* TestApp.start(
        Layer.scopedDiscard(Effect.gen(function*() {
          yield* noted(journal, { drainTimeout: "20 seconds" }).pipe(
            Effect.delay("1 second"),
            Effect.catchTag("BudgetError", (refused) => Deferred.succeed(error, refused.message)),
            Effect.forkScoped
          )
        })),
        { gracePeriod: "20 seconds" }
      )
      yield* TestClock.adjust("1 second")
      assert.strictEqual(
        yield* Deferred.await(error),
        "resource: drainTimeout 20s can never be reached: gracePeriod 20s - preStopDelay 0ms - 2s kept back for " +
          "releases leaves 18s."
      )
      yield* app.signal("SIGTERM")
      yield* app.report
      assert.deepStrictEqual(yield* journal.lines, [])
    }))

  for (const option of ["drainTimeout", "releaseTimeout"] as const) {
    it.scoped(`refuses a ${option} that is negative, infinite or NaN by its name, and acquires nothing`, () =>
      Effect.forEach([NaN, -1, Infinity], (timeout) =>
        Effect.gen(function*() {
          const journal = yield* Journal.make
          const error = yield* Effect.flip(TestApp.start(Layer.scopedDiscard(noted(journal, { [option]: timeout }))))
          assert.strictEqual(
            error.message,
            `cannot start: resource: ${option} is ${timeout}, and must be a finite duration of zero or more`
          )
          assert.deepStrictEqual(yield* journal.lines, [])
        })))
  }

  it.scoped("reports a timeout, not an expedited drain, when the clock is behind the timer", () =>
    Effect.gen(function*() {
      const clock = yield* Effect.clock
      const behind = Object.assign(Object.create(clock) as typeof clock, {
        unsafeCurrentTimeNanos: () => BigInt(Math.max(0, clock.unsafeCurrentTimeMillis() - 1)) * 1_000_000n
      })
      const app = yield* TestApp.start(Layer.scopedDiscard(Drain.acquire({
        name: "pool",
        acquire: Effect.void,
        drain: () => Effect.never,
        drainTimeout: "2 seconds"
      }))).pipe(Effect.withClock(behind))
      yield* app.signal("SIGTERM")
      const [drain] = (yield* app.report).drains
      assert.deepStrictEqual(
        [drain?.reason, drain?.elapsed],
        ["drain not done within 2s", Duration.millis(1_999)]
      )
    }))

  it.scoped("numbers resources of the same name", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(Layer.scopedDiscard(Effect.gen(function*() {
        yield* Drain.acquire({ name: "pool", acquire: Effect.void })
        yield* Drain.acquire({ name: "pool", acquire: Effect.void })
      })))
      yield* app.signal("SIGTERM")
      assert.deepStrictEqual((yield* app.report).drains.map((drain) => drain.name), ["pool-2", "pool"])
    }))

  it.scoped("forgets resources that were closed before the shutdown was requested", () =>
    Effect.gen(function*() {
      const made = yield* Effect.makeLatch(false)
      const perRequest = Effect.scoped(Drain.acquire({ name: "cursor", acquire: Effect.void }))
      const app = yield* TestApp.start(Layer.scopedDiscard(Effect.gen(function*() {
        yield* Effect.forkScoped(Effect.zipRight(Effect.repeatN(perRequest, 999), made.open))
        yield* Drain.acquire({ name: "pool", acquire: Effect.void })
      })))
      yield* made.await
      yield* app.signal("SIGTERM")
      assert.deepStrictEqual((yield* app.report).drains.map((drain) => drain.name), ["pool"])
      assert.deepStrictEqual(
        (yield* app.journal).filter((line) => line.includes("cursor")),
        []
      )
    }))

  it.live("neither skips a release nor hangs at any point of interruption", () =>
    Interruption.explore({
      setup: Effect.sync(() => ({ acquired: 0, released: 0 })),
      program: (count) =>
        Effect.scoped(Drain.acquire({
          name: "resource",
          acquire: Effect.sync(() => void count.acquired++),
          quiesce: () => Effect.sleep("10 millis"),
          drain: () => Effect.sleep("1 second"),
          interrupt: () => Effect.void,
          release: () => Effect.delay(Effect.sync(() => void count.released++), "10 millis")
        })),
      invariant: (count) =>
        Effect.delay(Effect.sync(() => assert.strictEqual(count.released, count.acquired)), "1 minute"),
      ...(long ? {} : { sample: 150 })
    }).pipe(Interruption.assertSafe))
})
