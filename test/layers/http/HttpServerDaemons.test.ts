import { HttpRouter, HttpServer as Platform, HttpServerResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Runtime, Schema, Scope } from "effect"
import { createServer } from "node:http"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../src/core/Shutdown.js"
import { ShutdownReport } from "../../../src/core/ShutdownReport.js"
import * as TaskSupervisor from "../../../src/core/TaskSupervisor.js"
import * as HttpServer from "../../../src/layers/http/HttpServer.js"
import { connect, get } from "../../fixtures/http/client.js"
import { anyPort, portOf } from "../../fixtures/http/serving.js"

/** What an app writes to. It refuses writes once it is released, as a database does. */
class Store extends Context.Tag("Store")<Store, {
  readonly write: (row: string) => Effect.Effect<void>
  /** Completes when the drain awaits what handlers have left behind. */
  readonly awaited: Effect.Effect<void>
}>() {}

/** An app as it is written for the platform: it knows nothing of lastcall. */
const app = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/audit",
    Effect.gen(function*() {
      const { awaited, write } = yield* Store
      yield* Effect.forkDaemon(Effect.zipRight(awaited, write("audited")))
      return HttpServerResponse.empty()
    })
  ),
  HttpRouter.post(
    "/nested",
    Effect.gen(function*() {
      const { awaited, write } = yield* Store
      const inner = Effect.forkDaemon(Effect.delay(write("inner"), "200 millis"))
      yield* Effect.forkDaemon(Effect.all([awaited, write("outer"), inner]))
      return HttpServerResponse.empty()
    })
  ),
  HttpRouter.post(
    "/failing",
    Effect.gen(function*() {
      const { awaited } = yield* Store
      yield* Effect.forkDaemon(Effect.zipRight(awaited, Effect.fail("no mail")))
      return HttpServerResponse.empty()
    })
  ),
  HttpRouter.post(
    "/endless",
    Effect.gen(function*() {
      const { write } = yield* Store
      const refresh = Effect.forever(Effect.sleep("10 millis"))
      yield* Effect.forkDaemon(Effect.withSpan(Effect.onInterrupt(refresh, () => write("stopped")), "refresh"))
      return HttpServerResponse.empty()
    })
  ),
  HttpRouter.post(
    "/ignoring",
    Effect.as(
      Effect.forkDaemon(Effect.withSpan(Effect.uninterruptible(Effect.never), "ignoring")),
      HttpServerResponse.empty()
    )
  ),
  HttpRouter.post(
    "/runtime",
    Effect.gen(function*() {
      const { awaited, write } = yield* Store
      const runFork = Runtime.runFork(yield* Effect.runtime())
      setTimeout(() => runFork(Effect.zipRight(awaited, write("ran"))))
      yield* Effect.sleep("10 millis")
      return HttpServerResponse.empty()
    })
  ),
  HttpRouter.post(
    "/tasks",
    Effect.gen(function*() {
      const { awaited, write } = yield* Store
      const task = TaskSupervisor.fork(Effect.delay(write("task"), "300 millis"))
      // The supervisor is released some milliseconds after the daemons, and so comes after them in the report.
      yield* Effect.forkDaemon(Effect.zipRight(awaited, Effect.delay(task, "20 millis")))
      return HttpServerResponse.empty()
    })
  ),
  Platform.serve()
)

/** Sends the requests, stops the service, and returns what was written and the report without what differs from run to run. */
const run = (paths: ReadonlyArray<string>, options: HttpServer.DrainOptions = {}) =>
  Effect.gen(function*() {
    const rows: Array<string> = []
    const lifecycle = yield* Effect.orDie(Lifecycle.make({ gracePeriod: "20 seconds" }))
    const awaited = lifecycle.follow(({ resource }) =>
      Effect.succeed(Option.exists(resource, ({ name, stage }) => name === "http daemons" && stage === "draining"))
    )
    const store = Layer.scoped(
      Store,
      Effect.acquireRelease(
        Effect.succeed({ awaited, write: (row: string) => Effect.sync(() => void rows.push(row)) }),
        () => Effect.sync(() => void rows.push("closed"))
      )
    )
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const server = HttpServer.layer(() => createServer(), { ...anyPort, idleLinger: "50 millis", ...options })
    const context = yield* Layer.buildWithScope(Layer.provideMerge(Layer.provide(app, store), server), scope).pipe(
      Effect.provideService(Shutdown, lifecycle.shutdown)
    )
    yield* lifecycle.transition("Running")
    const client = yield* connect(portOf(Context.get(context, HttpServer.HttpServer)))
    for (const [index, path] of paths.entries()) {
      yield* client.send(get(path).replace("GET", "POST"))
      yield* client.until(new RegExp(`(HTTP/1.1 204[^]*){${index + 1}}`))
    }
    yield* lifecycle.shutdown.begin({ reason: "SIGTERM" })
    yield* lifecycle.transition("Draining")
    yield* Scope.close(scope, Exit.void)
    yield* lifecycle.transition("Stopped")
    const report = Option.getOrThrow((yield* lifecycle.snapshot).report)
    const { drains, exitCode } = Schema.encodeSync(ShutdownReport)(report)
    return {
      rows,
      exitCode,
      drains: drains.map(({ elapsed: _, reason, started: __, ...drain }) => ({
        ...drain,
        ...(reason === undefined ? {} : { reason: reason.replace(/\d+ms|#\d+/g, (text) => text.replace(/\d+/, "n")) })
      }))
    }
  })

const http = { name: "http", outcome: "Drained", finished: 0, handedBack: 0, cut: 0 } as const
const daemons = { ...http, name: "http daemons" }

describe("fibers that handlers leave behind", () => {
  it.scopedLive("of an unchanged app finish before what they use is released, 5 of 5", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(Array.from({ length: 5 }, () => "/audit")), {
        rows: [...Array.from({ length: 5 }, () => "audited"), "closed"],
        exitCode: 0,
        drains: [http, { ...daemons, finished: 5 }]
      })
    }))

  it.scopedLive("may leave others behind, and may fail", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(["/nested", "/failing"]), {
        rows: ["outer", "inner", "closed"],
        exitCode: 0,
        drains: [http, { ...daemons, finished: 3 }]
      })
    }))

  it.scopedLive("may run on a runtime of the handler", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(["/runtime"]), {
        rows: ["ran", "closed"],
        exitCode: 0,
        drains: [http, { ...daemons, finished: 1 }]
      })
    }))

  it.scopedLive("without end are interrupted after daemonTimeout, named in the report, and cost no exit code", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(["/endless"], { daemonTimeout: "200 millis" }), {
        rows: ["stopped", "closed"],
        exitCode: 0,
        drains: [http, { ...daemons, outcome: "Interrupted", reason: "drain not done within nms (refresh #n)" }]
      })
    }))

  it.scopedLive("that ignore their interruption are abandoned, and the exit code is 1", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(["/ignoring"], { daemonTimeout: 0, releaseTimeout: "200 millis" }), {
        rows: ["closed"],
        exitCode: 1,
        drains: [http, {
          ...daemons,
          outcome: "Abandoned",
          cut: 1,
          reason: "drain not done within nms (ignoring #n), interrupt not done within nms"
        }]
      })
    }))

  it.scopedLive("may give tasks to the supervisor of the server", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run(["/tasks"]), {
        rows: ["task", "closed"],
        exitCode: 0,
        drains: [http, { ...daemons, finished: 1 }, { ...http, name: "http tasks", finished: 1 }]
      })
    }))

  it.scopedLive("are none in the report of a server whose handlers left none", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* run([])).drains, [http])
    }))
})
