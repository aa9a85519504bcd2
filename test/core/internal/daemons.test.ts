import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, FiberSet, Layer, Ref, Schema, Scope, TestClock } from "effect"
import * as Drain from "../../../src/core/Drain.js"
import { makeDaemons } from "../../../src/core/internal/daemons.js"
import type { Options } from "../../../src/core/ShutdownConfig.js"
import { ShutdownReport } from "../../../src/core/ShutdownReport.js"
import * as Journal from "../../../src/testing/Journal.js"
import * as TestApp from "../../../src/testing/TestApp.js"

type Work = (journal: Journal.Journal) => Effect.Effect<unknown, never, Scope.Scope>

/** An app whose owner runs the work in its start, under what is `above` and over a store that is released last. */
const serve = (work: Work, options: Options = {}, above: Layer.Layer<never> = Layer.empty) =>
  Effect.gen(function*() {
    const journal = yield* Journal.make
    const store = Layer.scopedDiscard(Effect.addFinalizer(() => journal.note("store closed")))
    const owner = Layer.scopedDiscard(Effect.gen(function*() {
      const longer = yield* Effect.scope
      const daemons = yield* makeDaemons({
        name: "owner",
        daemonTimeout: Duration.seconds(5),
        releaseTimeout: "1 second"
      })
      yield* daemons.own(Effect.scoped(Effect.provideService(work(journal), Scope.Scope, longer)))
    }))
    const app = yield* TestApp.start(above.pipe(Layer.provideMerge(owner), Layer.provide(store)), options)
    const stop = Effect.gen(function*() {
      yield* app.signal("SIGTERM")
      const { drains, elapsed, exitCode } = Schema.encodeSync(ShutdownReport)(yield* app.report)
      return { drains, elapsed, exitCode, journal: yield* journal.lines }
    })
    return { app, stop }
  })

const drained = { name: "owner daemons", outcome: "Drained", started: 0, handedBack: 0, cut: 0 } as const

/** The ids of fibers differ from run to run. */
const withoutIds = <A extends { readonly reason?: string }>(drain: A) => ({
  ...drain,
  reason: drain.reason?.replace(/#\d+/g, "#n")
})

describe("daemons of an owner", () => {
  it.scoped("finish before what they use is released, and so do the daemons that they fork", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(({ note }) => {
        const work = (seconds: number) => Effect.delay(note(`work of ${seconds}s`), seconds * 1000)
        return Effect.forkDaemon(work(1)).pipe(
          Effect.zipRight(Effect.forkDaemon(Effect.zipLeft(work(2), Effect.forkDaemon(work(2))))),
          Effect.zipRight(Effect.fork(Effect.zipRight(Effect.forkDaemon(work(3)), Effect.never))),
          Effect.zipRight(Effect.yieldNow())
        )
      })
      assert.deepStrictEqual(yield* stop, {
        drains: [{ ...drained, elapsed: 4000, finished: 4 }],
        elapsed: 4000,
        exitCode: 0,
        journal: ["1s work of 1s", "2s work of 2s", "3s work of 3s", "4s work of 2s", "4s store closed"]
      })
    }))

  it.scoped("are in the report only if there are any when their owner drains", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(() => Effect.forkDaemon(Effect.sleep("1 second")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* stop, { drains: [], elapsed: 0, exitCode: 0, journal: ["1s store closed"] })
    }))

  it.scoped("that fail have finished", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(() => Effect.forkDaemon(Effect.delay(Effect.fail("no mail"), "1 second")))
      assert.deepStrictEqual(yield* stop, {
        drains: [{ ...drained, elapsed: 1000, finished: 1 }],
        elapsed: 1000,
        exitCode: 0,
        journal: ["1s store closed"]
      })
    }))

  it.scoped("are interrupted after their timeout, named by their span, and leave the exit code at 0 if they end", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(({ note }) =>
        Effect.forkDaemon(Effect.withSpan(Effect.forever(Effect.sleep("1 minute")), "refresh the cache")).pipe(
          Effect.zipRight(Effect.forkDaemon(Effect.onInterrupt(Effect.never, () => note("rolled back")))),
          Effect.zipRight(Effect.forkDaemon(Effect.delay(note("finished"), "1 second")))
        )
      )
      const { drains, ...rest } = yield* stop
      assert.deepStrictEqual(drains.map(withoutIds), [{
        ...drained,
        outcome: "Interrupted",
        elapsed: 5000,
        finished: 1,
        reason: "drain not done within 5s (refresh the cache #n, #n)"
      }])
      assert.deepStrictEqual(rest, {
        elapsed: 5000,
        exitCode: 0,
        journal: ["1s finished", "5s rolled back", "5s store closed"]
      })
    }))

  it.scoped("that ignore their interruption are abandoned, and cost the exit code", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(() =>
        Effect.zipRight(Effect.forkDaemon(Effect.uninterruptible(Effect.never)), Effect.forkDaemon(Effect.never))
      )
      const { drains, ...rest } = yield* stop
      assert.deepStrictEqual(drains.map(withoutIds), [{
        ...drained,
        outcome: "Abandoned",
        elapsed: 6000,
        finished: 0,
        cut: 1,
        reason: "drain not done within 5s (#n, #n), interrupt not done within 1s"
      }])
      assert.deepStrictEqual(rest, { elapsed: 6000, exitCode: 1, journal: ["6s store closed"] })
    }))

  it.scoped("that are forked by a daemon while it is interrupted, or joined by it, are interrupted as well", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(({ note }) =>
        Effect.forkDaemon(
          Effect.gen(function*() {
            const joined = yield* Effect.forkDaemon(Effect.onInterrupt(Effect.never, () => note("joined")))
            return yield* Fiber.join(joined)
          }).pipe(
            Effect.ensuring(
              Effect.forkDaemon(Effect.interruptible(Effect.onInterrupt(Effect.never, () => note("forked"))))
            )
          )
        )
      )
      const { drains, ...rest } = yield* stop
      assert.deepStrictEqual(drains.map(withoutIds), [{
        ...drained,
        outcome: "Interrupted",
        elapsed: 5000,
        finished: 0,
        reason: "drain not done within 5s (#n)"
      }])
      assert.sameMembers([...rest.journal], ["5s joined", "5s forked", "5s store closed"])
      assert.strictEqual(rest.journal.at(-1), "5s store closed")
    }))

  it.scoped("that are forked by others are named and interrupted as well while another one ignores its interruption", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(({ note }) => {
        const endless = (forked: string) =>
          Effect.forkDaemon(Effect.interruptible(Effect.onInterrupt(Effect.never, () => note(forked))))
        return Effect.forkDaemon(Effect.uninterruptible(Effect.never)).pipe(
          Effect.zipRight(Effect.forkDaemon(Effect.delay(endless("forked after 1s"), "1 second"))),
          Effect.zipRight(Effect.forkDaemon(Effect.uninterruptible(Effect.delay(endless("forked after 5.5s"), 5500))))
        )
      })
      const { drains, ...rest } = yield* stop
      assert.deepStrictEqual(drains.map(withoutIds), [{
        ...drained,
        outcome: "Abandoned",
        elapsed: 6000,
        finished: 1,
        cut: 1,
        reason: "drain not done within 5s (#n, #n, #n), interrupt not done within 1s"
      }])
      assert.deepStrictEqual(rest, {
        elapsed: 6000,
        exitCode: 1,
        journal: ["5s forked after 1s", "5.5s forked after 5.5s", "6s store closed"]
      })
    }))

  it.scoped("are interrupted at once by a second signal", () =>
    Effect.gen(function*() {
      const { app, stop } = yield* serve(() => Effect.forkDaemon(Effect.never))
      yield* app.signal("SIGTERM")
      yield* TestClock.adjust("2 seconds")
      const { drains, ...rest } = yield* stop
      assert.deepStrictEqual(drains.map(withoutIds), [{
        ...drained,
        outcome: "Interrupted",
        elapsed: 2000,
        finished: 0,
        reason: "drain expedited after 2s (#n)"
      }])
      assert.deepStrictEqual(rest, { elapsed: 2000, exitCode: 0, journal: ["2s store closed"] })
    }))

  it.scoped("have no more time than the budget", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(() => Effect.forkDaemon(Effect.never), { gracePeriod: "3 seconds" })
      const { elapsed, exitCode } = yield* stop
      assert.deepStrictEqual({ elapsed, exitCode }, { elapsed: 2700, exitCode: 0 })
    }))

  it.scoped("that run when the shutdown is requested spend their time beside the delay before the drain", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(() => Effect.forkDaemon(Effect.never), { preStopDelay: "6 seconds" })
      const { drains, ...rest } = yield* stop
      assert.deepStrictEqual(drains.map(withoutIds), [{
        ...drained,
        outcome: "Interrupted",
        started: 6000,
        elapsed: 0,
        finished: 0,
        reason: "drain not done within 0ms (#n)"
      }])
      assert.deepStrictEqual(rest, { elapsed: 6000, exitCode: 0, journal: ["6s store closed"] })
    }))

  it.scoped("that are forked after the shutdown is requested have all of their time", () =>
    Effect.gen(function*() {
      const { stop } = yield* serve(
        ({ note }) => Effect.forkScoped(Effect.delay(Effect.forkDaemon(Effect.delay(note("work"), "4 seconds")), 5500)),
        { preStopDelay: "6 seconds" }
      )
      assert.deepStrictEqual(yield* stop, {
        drains: [{ ...drained, started: 6000, elapsed: 3500, finished: 1 }],
        elapsed: 9500,
        exitCode: 0,
        journal: ["9.5s work", "9.5s store closed"]
      })
    }))

  it.scoped("are not those that a scope, a set or another fiber ends", () =>
    Effect.gen(function*() {
      const set = yield* FiberSet.make()
      const interrupted = yield* Ref.make(0)
      const endless = Effect.onInterrupt(Effect.never, () => Ref.update(interrupted, (n) => n + 1))
      const { stop } = yield* serve(() =>
        Effect.gen(function*() {
          yield* Effect.forkScoped(endless)
          yield* FiberSet.run(set, endless)
          const joined = yield* Effect.forkDaemon(endless)
          yield* FiberSet.run(set, Fiber.join(joined))
        })
      )
      assert.deepStrictEqual(yield* stop, { drains: [], elapsed: 0, exitCode: 0, journal: ["0ms store closed"] })
      assert.strictEqual(yield* Ref.get(interrupted), 1)
    }))

  it.scoped("are reported after their owner, when that is idle", () =>
    Effect.gen(function*() {
      const owner = Layer.scopedDiscard(Effect.gen(function*() {
        const daemons = yield* makeDaemons({ name: "owner", daemonTimeout: Duration.seconds(5) })
        yield* Drain.acquire({ name: "owner", acquire: daemons.own(Effect.forkDaemon(Effect.sleep("1 second"))) })
      }))
      const app = yield* TestApp.start(owner)
      yield* app.signal("SIGTERM")
      const { drains } = yield* app.report
      assert.deepStrictEqual(drains.map(({ name }) => name), ["owner", "owner daemons"])
    }))

  it.scoped("are interrupted and reported when their owner is never released, because a finalizer in no Drain hangs", () =>
    Effect.gen(function*() {
      const { app, stop } = yield* serve(
        ({ note }) => Effect.forkDaemon(Effect.onInterrupt(Effect.never, () => note("interrupted"))),
        {},
        Layer.scopedDiscard(Effect.addFinalizer(() => Effect.never))
      )
      const { drains, ...rest } = yield* stop
      const abandoned = { ...drained, outcome: "Abandoned", finished: 0, cut: 1 } as const
      assert.deepStrictEqual(drains.map(withoutIds), [
        {
          ...abandoned,
          name: "scope",
          elapsed: 24_500,
          reason: "a finalizer that is not bounded by a Drain did not end"
        },
        {
          ...abandoned,
          started: 24_500,
          elapsed: 0,
          reason: "drain not done within 0ms (#n), interrupt not done within 0ms"
        }
      ])
      assert.deepStrictEqual(rest, { elapsed: 24_500, exitCode: 1, journal: ["24.5s interrupted"] })
      assert.deepStrictEqual((yield* app.journal).slice(4), [
        "24.5s scope Abandoned",
        "24.5s owner daemons draining",
        "24.5s owner daemons interrupting",
        "24.5s owner daemons Abandoned",
        "24.5s app Stopped"
      ])
    }))

  it.scoped("are no resource of an owner that has none", () =>
    Effect.gen(function*() {
      const { app, stop } = yield* serve(() => Effect.void)
      yield* stop
      assert.deepStrictEqual(yield* app.journal, [
        "0ms app Running",
        "0ms SIGTERM received",
        "0ms app shutdown requested: SIGTERM",
        "0ms app Draining",
        "0ms app Stopped"
      ])
    }))
})
