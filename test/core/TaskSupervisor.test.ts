import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, type Duration, Effect, Exit, Fiber, Layer, Ref, Scope, TestClock } from "effect"
import { Shutdown } from "../../src/core/Shutdown.js"
import * as TaskSupervisor from "../../src/core/TaskSupervisor.js"
import * as Interruption from "../../src/testing/Interruption.js"
import { makeWorld } from "../layers/jobs/WorkerPoolWorld.js"

/** A supervisor in a scope of its own, and the reports of its lifecycle. */
const supervised = (options: Omit<TaskSupervisor.Options, "name"> = {}) =>
  Effect.gen(function*() {
    const { entries, lifecycle, note, reports } = yield* makeWorld()
    const scope = yield* Scope.make()
    const tasks = yield* TaskSupervisor.make({ name: "tasks", ...options }).pipe(
      Scope.extend(scope),
      Effect.provideService(Shutdown, lifecycle.shutdown)
    )
    const stop = Effect.zipRight(lifecycle.shutdown.begin({ reason: "test" }), Scope.close(scope, Exit.void))
    return { tasks, entries, note, reports, stop }
  })

describe("TaskSupervisor", () => {
  it.effect("finishes tasks whose callers have ended before its scope is closed", () =>
    Effect.gen(function*() {
      const { entries, note, reports, stop, tasks } = yield* supervised()
      const caller = yield* Effect.fork(tasks.run(Effect.zipRight(Effect.sleep("3 seconds"), note("sent"))))
      yield* Fiber.join(caller)
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["3s sent"])
      assert.deepStrictEqual(yield* reports, [{
        name: "tasks",
        outcome: "Drained",
        finished: 1,
        handedBack: 0,
        cut: 0
      }])
    }))

  it.effect("finishes the fibers that its tasks leave behind", () =>
    Effect.gen(function*() {
      const { entries, note, reports, stop, tasks } = yield* supervised()
      yield* tasks.run(Effect.zipRight(
        Effect.sleep("1 second"),
        Effect.forkDaemon(Effect.zipRight(Effect.sleep("2 seconds"), note("sent")))
      ))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["3s sent"])
      assert.deepStrictEqual(yield* reports, [
        { name: "tasks daemons", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 },
        { name: "tasks", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }
      ])
    }))

  it.effect("interrupts tasks after the drain timeout, and counts them as cut", () =>
    Effect.gen(function*() {
      const { entries, note, reports, stop, tasks } = yield* supervised({ drainTimeout: "2 seconds" })
      yield* tasks.run(Effect.sleep("1 second"))
      yield* tasks.run(Effect.onInterrupt(Effect.never, () => note("rolled back")))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["2s rolled back"])
      assert.deepStrictEqual(yield* reports, [
        { name: "tasks", outcome: "Interrupted", finished: 1, handedBack: 0, cut: 1 }
      ])
    }))

  it.effect("reports a task that ignores its interruption as abandoned", () =>
    Effect.gen(function*() {
      const { reports, stop, tasks } = yield* supervised({ drainTimeout: "2 seconds", releaseTimeout: "1 second" })
      yield* tasks.run(Effect.uninterruptible(Effect.never))
      yield* Effect.yieldNow()
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(yield* reports, [
        { name: "tasks", outcome: "Abandoned", finished: 0, handedBack: 0, cut: 1 }
      ])
    }))

  it.effect("accepts tasks of its tasks while it drains, and refuses tasks afterwards", () =>
    Effect.gen(function*() {
      const { entries, note, stop, tasks } = yield* supervised()
      yield* tasks.run(Effect.zipRight(
        Effect.sleep("1 second"),
        tasks.run(Effect.zipRight(Effect.sleep("1 second"), note("second")))
      ))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["2s second"])
      const refused = yield* Effect.flip(tasks.run(note("too late")))
      assert.strictEqual(refused.message, "tasks: the task was refused, its supervisor has ended")
      assert.deepStrictEqual(entries, ["2s second"])
    }))

  it.effect("counts tasks that interrupted tasks try to start as cut", () =>
    Effect.gen(function*() {
      const { entries, note, reports, stop, tasks } = yield* supervised({ drainTimeout: "1 second" })
      yield* tasks.run(Effect.onInterrupt(Effect.never, () => Effect.ignore(tasks.run(note("another")))))
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, [])
      assert.deepStrictEqual(yield* reports, [
        { name: "tasks", outcome: "Interrupted", finished: 0, handedBack: 0, cut: 2 }
      ])
    }))

  it.effect("goes on when a task fails, and gives each task its own scope", () =>
    Effect.gen(function*() {
      const { entries, note, reports, stop, tasks } = yield* supervised()
      yield* tasks.run(Effect.zipRight(Effect.addFinalizer(() => note("closed")), Effect.fail("bad luck")))
      yield* tasks.run(Effect.die("a bug"))
      yield* stop
      assert.deepStrictEqual(entries, ["0s closed"])
      assert.deepStrictEqual(yield* reports, [{
        name: "tasks",
        outcome: "Drained",
        finished: 2,
        handedBack: 0,
        cut: 0
      }])
    }))

  it.effect("is found in the context by fork", () =>
    Effect.gen(function*() {
      const { entries, note, stop, tasks } = yield* supervised()
      const handler = Effect.as(TaskSupervisor.fork(Effect.zipRight(Effect.sleep("1 second"), note("sent"))), "answer")
      const answer = yield* Effect.provideService(handler, TaskSupervisor.TaskSupervisor, tasks)
      assert.strictEqual(answer, "answer")
      const stopping = yield* Effect.fork(stop)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["1s sent"])
    }))

  it.effect("layer finishes the tasks of the layers above it, after these are released", () =>
    Effect.gen(function*() {
      const { entries, lifecycle, note, reports } = yield* makeWorld()
      const mailer = Layer.scopedDiscard(Effect.zipRight(
        TaskSupervisor.fork(Effect.zipRight(Effect.sleep("3 seconds"), note("sent"))),
        Effect.addFinalizer(() => note("released"))
      ))
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Layer.provide(mailer, TaskSupervisor.layer({ name: "mails" })), scope).pipe(
        Effect.provideService(Shutdown, lifecycle.shutdown)
      )
      const stopping = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(entries, ["0s released", "3s sent"])
      assert.deepStrictEqual(yield* reports, [
        { name: "mails", outcome: "Drained", finished: 1, handedBack: 0, cut: 0 }
      ])
    }))

  it.effect("without a supervisor, fork runs the task in place, waits for it, and does not fail with it", () =>
    Effect.gen(function*() {
      const done = yield* Ref.make(false)
      yield* TaskSupervisor.fork(Effect.zipRight(Ref.set(done, true), Effect.fail("bad luck")))
      assert.isTrue(yield* Ref.get(done))
    }))

  it.effect("makeRuntime runs tasks of callbacks with the services of its context", () =>
    Effect.gen(function*() {
      const Greeting = Context.GenericTag<"Greeting", string>("Greeting")
      const scope = yield* Scope.make()
      const run = yield* TaskSupervisor.makeRuntime<"Greeting">({ name: "callbacks" }).pipe(
        Scope.extend(scope),
        Effect.provideService(Greeting, "hello")
      )
      const latch = yield* Deferred.make<void>()
      const fiber = run(Effect.zipRight(Deferred.await(latch), Greeting))
      const stopping = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* Deferred.succeed(latch, void 0)
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* Fiber.join(fiber), "hello")
      assert.strictEqual((yield* Effect.flip(Fiber.join(run(Effect.void))))._tag, "TaskRefused")
    }))

  it.effect("finishes or cuts each accepted task at any point of interruption, and releases what it acquired", () =>
    Interruption.explore({
      setup: world,
      program: ({ accepted, acquired, lifecycle, released }: World) =>
        Effect.gen(function*() {
          const tasks = yield* TaskSupervisor.make({ name: "tasks", drainTimeout: "5 seconds" })
          const start = (duration: Duration.DurationInput) =>
            Effect.acquireUseRelease(add(acquired), () => Effect.sleep(duration), () => add(released)).pipe(
              tasks.run,
              Effect.zipRight(add(accepted)),
              Effect.uninterruptible
            )
          yield* start("1 second")
          yield* start("1 minute")
          yield* start("2 seconds")
        }).pipe(Effect.provideService(Shutdown, lifecycle.shutdown)),
      invariant: ({ accepted, acquired, released, reports }: World) =>
        Effect.gen(function*() {
          const ended = (yield* reports).map((_) => _.finished + _.cut).reduce((sum, count) => sum + count, 0)
          assert.strictEqual(ended, yield* Ref.get(accepted), "tasks that were finished or cut")
          assert.strictEqual(yield* Ref.get(released), yield* Ref.get(acquired), "releases")
        }),
      sample: 120
    }).pipe(Interruption.assertSafe))
})

const world = Effect.gen(function*() {
  const { lifecycle, reports } = yield* makeWorld()
  const zero = Ref.make(0)
  return { lifecycle, reports, accepted: yield* zero, acquired: yield* zero, released: yield* zero }
})
type World = Effect.Effect.Success<typeof world>
const add = (count: Ref.Ref<number>) => Ref.update(count, (_) => _ + 1)
