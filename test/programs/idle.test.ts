import { HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Scope, TestClock } from "effect"
import { createServer } from "node:http"
import * as Drain from "../../src/core/Drain.js"
import * as Lifecycle from "../../src/core/Lifecycle.js"
import { Shutdown } from "../../src/core/Shutdown.js"
import * as TaskSupervisor from "../../src/core/TaskSupervisor.js"
import * as HttpServer from "../../src/layers/http/HttpServer.js"
import * as JobSourceMemory from "../../src/layers/jobs/JobSourceMemory.js"
import * as WorkerPool from "../../src/layers/jobs/WorkerPool.js"
import * as TestApp from "../../src/testing/TestApp.js"

class Pool extends WorkerPool.Tag("pool")<Pool, string>() {}

const drain = (name: string, idle: Effect.Effect<unknown>) =>
  Layer.scopedDiscard(Drain.acquire({ name, acquire: Effect.void, drain: () => idle, interrupt: () => Effect.void }))

const idle = Layer.mergeAll(
  drain("does nothing", Effect.void),
  drain("races", Effect.raceFirst(Effect.void, Effect.never)),
  drain("races inside", Effect.raceFirst(Effect.never, Effect.raceFirst(Effect.never, Effect.void))),
  drain("forks", Effect.flatMap(Effect.fork(Effect.void), Fiber.join)),
  drain("is concurrent", Effect.all([Effect.void, Effect.void], { concurrency: "unbounded" })),
  TaskSupervisor.layer({ name: "tasks" }),
  Pool.layer({ concurrency: 2, process: () => Effect.void }).pipe(Layer.provide(JobSourceMemory.layer())),
  Pool.layer({ concurrency: 2, process: () => Effect.void }).pipe(
    Layer.provide(JobSourceMemory.layer({ durable: true }))
  )
)

describe("idle resources", () => {
  it.scoped("are Drained by a shutdown that was expedited before they drain", () =>
    Effect.gen(function*() {
      const app = yield* TestApp.start(idle, { preStopDelay: "5 seconds" })
      yield* app.signal("SIGINT")
      yield* app.until("app", "LameDuck")
      yield* TestClock.adjust("1 second")
      yield* app.signal("SIGINT")
      const report = yield* app.report
      assert.deepStrictEqual(
        report.drains.filter(({ outcome, reason }) => outcome !== "Drained" || reason !== undefined),
        []
      )
      assert.deepStrictEqual([report.drains.length, report.expedited, report.exitCode], [8, true, 0])
    }))

  it.live("are Drained if they are servers, which close their listener all the same", () =>
    Effect.gen(function*() {
      const lifecycle = yield* Lifecycle.make()
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(
        HttpServer.serve(HttpServerResponse.empty()).pipe(
          Layer.provide(HttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
        ),
        scope
      ).pipe(Effect.provideService(Shutdown, lifecycle.shutdown))
      yield* lifecycle.transition("Running")
      yield* lifecycle.shutdown.begin({ reason: "test" })
      yield* lifecycle.expedite
      yield* lifecycle.transition("Draining")
      yield* Scope.close(scope, Exit.void)
      const { resources } = yield* lifecycle.snapshot
      assert.deepStrictEqual(
        resources.map(({ name, report }) => [name, Option.map(report, ({ outcome, reason }) => [outcome, reason])]),
        [["http", Option.some(["Drained", undefined])]]
      )
    }))
})
