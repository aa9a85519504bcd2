import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, FiberSet, Layer, Option, Ref, Schedule, Stream } from "effect"
import * as Drain from "../../src/core/Drain.js"
import * as Interruption from "../../src/testing/Interruption.js"
import * as TestApp from "../../src/testing/TestApp.js"

import { ack, type Inbox, inbox, nothingLost, settle, work } from "./inbox.js"

describe("Interruption.explore", () => {
  it.effect("reports exactly the operations between a take and its acknowledgement", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) => Effect.flatMap(inbox.queue.take, (job) => Effect.flatMap(work, () => ack(inbox, job))),
        invariant: nothingLost,
        strict: true
      })
      assert.strictEqual(report.end, "Completed")
      assert.strictEqual(report.explored, report.operations)
      const at = report.broken.map((point) => point.at)
      const first = report.broken[0]!
      const last = report.broken.at(-1)!
      assert.deepStrictEqual(at, at.map((_, index) => first.at + index), "one stretch")
      assert.strictEqual(first.running, "root: succeed \"a\"")
      assert.match(last.running, /^root: sync .*MutableRef\.get\(this\.ref\)/)
      assert.match(first.reason, /expected \[ 'b' \] to deeply equal \[ 'a', 'b' \]/)
      assert.deepStrictEqual(report.hung, [])
    }))

  it.effect("reports no point for acquireUseRelease", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.acquireUseRelease(inbox.queue.take, () => work, (job, exit) => settle(inbox, job, exit)),
        invariant: nothingLost
      })
      assert.isTrue(report.safe, String(report))
      assert.isAbove(report.operations, 20)
    }))

  it.effect("reports the one operation at which an interruptible take loses its job", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(
              restore(inbox.queue.take),
              (job) => Effect.flatMap(Effect.exit(restore(work)), (exit) => settle(inbox, job, exit))
            )
          ),
        invariant: nothingLost
      })
      assert.deepStrictEqual(report.broken.map((point) => point.running), ["root: succeed \"a\""])
    }))

  it.effect("interrupts an idle worker while it waits, and reports an uninterruptible take as hung", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.forever(
            Effect.acquireUseRelease(inbox.queue.take, () => work, (job, exit) => settle(inbox, job, exit))
          ),
        invariant: nothingLost
      })
      assert.strictEqual(report.end, "Idle")
      const last = report.hung.at(-1)!
      assert.strictEqual(last.at, report.operations)
      assert.match(last.running, /^every fiber waits: root \(async/)
      assert.match(last.reason, /^every fiber waits forever: root/)
    }))

  it.effect("reports a leaked permit, and no point for withPermits", () =>
    Effect.gen(function*() {
      const explore = (program: (semaphore: Effect.Semaphore) => Effect.Effect<void>) =>
        Interruption.explore({
          setup: Effect.makeSemaphore(1),
          program,
          invariant: (semaphore) =>
            Effect.flatMap(
              semaphore.withPermitsIfAvailable(1)(Effect.void),
              Option.match({ onNone: () => Effect.fail("a permit leaked"), onSome: () => Effect.void })
            )
        })
      const leaking = yield* explore((semaphore) =>
        Effect.zipRight(Effect.zipRight(semaphore.take(1), work), Effect.asVoid(semaphore.release(1)))
      )
      assert.isAbove(leaking.broken.length, 0)
      assert.deepStrictEqual(new Set(leaking.broken.map((point) => point.reason)), new Set(["a permit leaked"]))
      const holding = yield* explore((semaphore) => semaphore.withPermits(1)(work))
      assert.isTrue(holding.safe, String(holding))
    }))

  it.effect("reports a skipped release, and no point for acquireRelease", () =>
    Effect.gen(function*() {
      const open = Ref.update<number>((n) => n + 1)
      const close = Ref.update<number>((n) => n - 1)
      const allClosed = (opened: Ref.Ref<number>) => Effect.map(Ref.get(opened), (n) => assert.strictEqual(n, 0))
      const skipping = yield* Interruption.explore({
        setup: Ref.make(0),
        program: (opened) => Effect.zipRight(open(opened), Effect.addFinalizer(() => close(opened))),
        invariant: allClosed
      })
      assert.isAbove(skipping.broken.length, 0)
      const registering = yield* Interruption.explore({
        setup: Ref.make(0),
        program: (opened) => Effect.zipRight(Effect.acquireRelease(open(opened), () => close(opened)), work),
        invariant: allClosed
      })
      assert.isTrue(registering.safe, String(registering))
    }))

  it.effect("reports as hung a race that waits for an uninterruptible loser", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Deferred.make<void>(),
        program: (latch) => Effect.raceFirst(work, Effect.uninterruptible(Deferred.await(latch))),
        invariant: () => Effect.void
      })
      assert.isAbove(report.hung.length, 0)
      assert.match(report.hung[0]!.reason, /^every fiber waits forever: .*root/)
      assert.deepStrictEqual(report.broken, [])
    }))

  it.effect("explores programs made of layers, scopes, fiber sets and streams", () =>
    Effect.gen(function*() {
      class Desk extends Context.Tag("Desk")<Desk, (note: string) => Effect.Effect<void>>() {}
      const report = yield* Interruption.explore({
        setup: Ref.make<ReadonlyArray<string>>([]),
        program: (journal) => {
          const note = (entry: string) => Ref.update(journal, (entries) => [...entries, entry])
          const layer = Layer.scoped(
            Desk,
            Effect.gen(function*() {
              yield* Effect.acquireRelease(note("desk opened"), () => note("desk closed"))
              const tasks = yield* FiberSet.make<void>()
              return (entry: string) => Effect.asVoid(FiberSet.run(tasks, Effect.delay(note(entry), "1 second")))
            })
          )
          return Effect.gen(function*() {
            const desk = yield* Desk
            yield* Stream.fromSchedule(Schedule.spaced("1 second")).pipe(
              Stream.take(2),
              Stream.runForEach((n) => desk(`note ${n}`))
            )
          }).pipe(Effect.provide(layer))
        },
        invariant: (journal) =>
          Effect.map(Ref.get(journal), (entries) => {
            const opened = entries.filter((entry) => entry === "desk opened")
            assert.deepStrictEqual(entries.filter((entry) => entry === "desk closed").length, opened.length)
            if (opened.length > 0) assert.strictEqual(entries.at(-1), "desk closed")
          })
      })
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("awaits promises that resolve without I/O", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: inbox,
        program: (inbox) =>
          Effect.gen(function*() {
            const job = yield* inbox.queue.take
            yield* Effect.timeout(Effect.promise(() => Promise.resolve().then(() => Promise.resolve())), "1 second")
            yield* ack(inbox, job)
          }),
        invariant: nothingLost
      })
      assert.strictEqual(report.end, "Completed")
      assert.isAbove(report.broken.length, 0)
      assert.deepStrictEqual(report.hung, [])
    }))

  it.effect("runs inject in place of the interruption", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.all({ stop: Deferred.make<void>(), stopped: Ref.make(false) }),
        program: ({ stop, stopped }) => Effect.zipRight(Deferred.await(stop), Ref.set(stopped, true)),
        inject: ({ stop }) => Effect.asVoid(Deferred.succeed(stop, undefined)),
        invariant: ({ stopped }, exit) =>
          Effect.map(Ref.get(stopped), (ended) => assert.isTrue(ended && Exit.isSuccess(exit)))
      })
      assert.strictEqual(report.end, "Idle")
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("a signal at any point of an app leaves no resource open", () =>
    Effect.gen(function*() {
      const report = yield* Interruption.explore({
        setup: Effect.all({ app: Deferred.make<TestApp.TestApp>(), open: Ref.make(0) }),
        program: ({ app, open }) => {
          const resource = (name: string) =>
            Layer.scopedDiscard(Drain.acquire({
              name,
              acquire: Ref.update(open, (n) => n + 1),
              drain: () => Effect.sleep("3 seconds"),
              release: () => Ref.update(open, (n) => n - 1)
            }))
          return Effect.gen(function*() {
            const started = yield* TestApp.start(Layer.provide(resource("pool"), resource("database")))
            yield* Deferred.succeed(app, started)
            return yield* started.exit
          })
        },
        inject: ({ app }) => Effect.flatMap(Deferred.await(app), (app) => app.signal("SIGTERM")),
        invariant: ({ open }, exit) =>
          Effect.flatMap(
            Ref.get(open),
            (n) => Effect.sync(() => assert.deepStrictEqual([n, Exit.getOrElse(exit, () => -1)], [0, 0]))
          ),
        sample: 60
      })
      assert.strictEqual(report.end, "Idle")
      assert.isTrue(report.safe, String(report))
    }))

  it.effect("interrupts the program of an uninterruptible caller, and fails with the error of setup", () =>
    Effect.gen(function*() {
      const report = yield* Effect.uninterruptible(Interruption.explore({
        setup: Effect.void,
        program: () => work,
        invariant: (_, exit) => Exit.isInterrupted(exit) ? Effect.fail("interrupted") : Effect.void
      }))
      assert.isAbove(report.broken.length, 0)
      const failure = yield* Effect.flip(Interruption.explore({
        setup: Effect.fail("no disk" as const),
        program: () => Effect.void,
        invariant: () => Effect.void
      }))
      assert.strictEqual(failure, "no disk")
    }))

  it.effect("reports a release of setup that fails or never ends", () =>
    Effect.gen(function*() {
      const explore = (release: Effect.Effect<void>) =>
        Interruption.explore({
          setup: Effect.addFinalizer(() => release),
          program: () => Effect.void,
          invariant: () => Effect.void,
          sample: 2
        })
      const failing = yield* explore(Effect.dieMessage("disk full"))
      assert.deepStrictEqual(failing.broken.map((point) => point.reason)[0], "the release of setup failed: disk full")
      const hanging = yield* explore(Effect.never)
      assert.match(hanging.hung[0]!.reason, /^the release of setup does not end; every fiber waits forever/)
    }))
})

describe("Interruption.assertSafe", () => {
  it.effect("returns a safe report, and fails with a message that lists the points", () =>
    Effect.gen(function*() {
      const explore = (program: (inbox: Inbox) => Effect.Effect<unknown>) =>
        Interruption.explore({ setup: inbox, program, invariant: nothingLost }).pipe(Interruption.assertSafe)
      assert.isTrue((yield* explore(() => work)).safe)
      const error = yield* Effect.flip(explore((inbox) => Effect.flatMap(inbox.queue.take, (job) => ack(inbox, job))))
      assert.strictEqual(error._tag, "UnsafeInterruption")
      const lines = error.message.split("\n")
      assert.match(lines[0]!, /^broken at \d+ of \d+ explored points:$/)
      assert.strictEqual(lines[1], "  expected [ 'b' ] to deeply equal [ 'a', 'b' ]")
      assert.match(lines[2]!, /^ {4}from \d+: root: succeed "a"$/)
      assert.match(lines[3]!, /^ {4}to \d+: root: sync/)
      assert.strictEqual(lines.length, 4)
    }))
})
