import { HttpApi, HttpApiBuilder, HttpApp, HttpServer } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Cron, Effect, Layer, TestClock } from "effect"
import { JobSource, JobSourceError, type Service } from "../../../src/layers/jobs/JobSource.js"
import * as JobSourceMemory from "../../../src/layers/jobs/JobSourceMemory.js"
import * as ScheduleConsole from "../../../src/layers/jobs/ScheduleConsole.js"
import * as ScheduledJob from "../../../src/layers/jobs/ScheduledJob.js"
import * as ScheduledTask from "../../../src/layers/jobs/ScheduledTask.js"

class Report extends Context.Tag("Report")<Report, ScheduledJob.Service>() {}
class Warmer extends Context.Tag("Warmer")<Warmer, ScheduledTask.Service>() {}
class Api extends HttpApi.make("app").add(ScheduleConsole.Group.prefix("/admin")) {}

/** A job that takes ten seconds every minute, a task that fails every minute, and the console. */
const makeApp = (wrap: (source: Service) => Service = (source) => source) =>
  Effect.gen(function*() {
    const schedule = Cron.unsafeParse("* * * * *", "UTC")
    const source = Effect.map(JobSourceMemory.make({ durable: true }), wrap)
    const schedules = Layer.merge(
      Layer.scoped(
        Report,
        ScheduledJob.make({ name: "report", schedule, run: () => Effect.sleep("10 seconds"), drainTimeout: 0 })
      ),
      Layer.scoped(
        Warmer,
        ScheduledTask.make({ name: "warmer", schedule, run: () => Effect.fail(new Error("no cache")) })
      )
    ).pipe(Layer.provide(Layer.effect(JobSource, source)))
    const services = yield* Layer.build(
      Layer.mergeAll(
        HttpApiBuilder.api(Api).pipe(
          Layer.provide(ScheduleConsole.layer(Api, [Report, Warmer])),
          Layer.provide(schedules)
        ),
        HttpServer.layerContext
      ).pipe(Layer.provideMerge(Layer.merge(HttpApiBuilder.Router.Live, HttpApiBuilder.Middleware.layer)))
    )
    const app = yield* Effect.provide(HttpApiBuilder.httpApp, services)
    // The requests run in the time of the test.
    const runtime = yield* Effect.provide(
      Effect.runtime<Layer.Layer.Success<typeof HttpServer.layerContext>>(),
      services
    )
    const handler = HttpApp.toWebHandlerRuntime(runtime)(app)
    return (method: "GET" | "POST", path: string) =>
      Effect.promise(async () => {
        const response = await handler(new Request(`http://app/admin/schedules${path}`, { method }))
        return [response.status, JSON.parse(await response.text())] as const
      })
  })

const at = (seconds: number) => new Date(seconds * 1000).toISOString()
const reportAt = (seconds: number) => `report@${at(seconds)}`

describe("The console of schedules", () => {
  it.scoped("shows when each runs next, and how its last run goes", () =>
    Effect.gen(function*() {
      const send = yield* makeApp()
      yield* TestClock.adjust("30 seconds")
      const report = { name: "report", kind: "Job", state: "Waiting", nextRunAt: at(60), lastRun: null }
      const warmer = { name: "warmer", kind: "Task", state: "Waiting", nextRunAt: at(60), lastRun: null }
      assert.deepStrictEqual(yield* send("GET", ""), [200, { schedules: [report, warmer] }])
      yield* TestClock.adjust("35 seconds")
      const runs = { at: at(60), job: reportAt(60), state: "Running" }
      assert.deepStrictEqual(yield* send("GET", ""), [200, {
        schedules: [
          { ...report, state: "Running", nextRunAt: at(120), lastRun: runs },
          { ...warmer, nextRunAt: at(120), lastRun: { at: at(60), job: null, state: "Failed" } }
        ]
      }])
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* send("GET", "/report"), [200, {
        ...report,
        nextRunAt: at(120),
        lastRun: { ...runs, state: "Ended" }
      }])
    }))

  it.scoped("pauses and resumes a schedule", () =>
    Effect.gen(function*() {
      const send = yield* makeApp()
      yield* TestClock.adjust("30 seconds")
      for (const name of ["report", "warmer"]) {
        const [status, body] = yield* send("POST", `/${name}/pause`)
        assert.deepStrictEqual([status, body.state], [200, "Paused"], name)
      }
      yield* TestClock.adjust("60 seconds")
      for (const name of ["report", "warmer"]) {
        const [status, body] = yield* send("POST", `/${name}/resume`)
        assert.deepStrictEqual([status, body.state, body.lastRun], [200, "Waiting", null], name)
      }
      yield* TestClock.adjust("60 seconds")
      const [, body] = yield* send("GET", "")
      assert.deepStrictEqual(body.schedules.map((schedule: { lastRun: { at: string } }) => schedule.lastRun.at), [
        at(120),
        at(120)
      ])
    }))

  it.scoped("runs one at once, and says which job that is", () =>
    Effect.gen(function*() {
      const send = yield* makeApp()
      yield* TestClock.adjust("30 seconds")
      const [status, { job }] = yield* send("POST", "/report/run")
      assert.deepStrictEqual([status, typeof job], [202, "string"])
      assert.deepStrictEqual(yield* send("POST", "/warmer/run"), [202, { job: null }])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* send("GET", "/warmer"))[1].lastRun, { at: at(30), job: null, state: "Failed" })
    }))

  it.scoped("answers 404 for a schedule that is not there, and 503 while the source is away", () =>
    Effect.gen(function*() {
      let away = false
      const send = yield* makeApp((source) => ({
        ...source,
        open: (options) =>
          Effect.map(source.open(options), (queue) => ({
            ...queue,
            find: (id) =>
              Effect.suspend(() =>
                away ? new JobSourceError({ operation: "find", queue: "report", cause: "secret" }) : queue.find(id)
              )
          }))
      }))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* send("POST", "/other/run"), [404, {
        _tag: "ScheduleNotFound",
        message: "no schedule of this process is named other"
      }])
      away = true
      assert.deepStrictEqual(yield* send("GET", "/report"), [503, {
        _tag: "JobsUnavailable",
        message: "report: the source of the jobs is unavailable"
      }])
    }))

  it.scoped("dies over two schedules of one name, and over an API without the group", () =>
    Effect.gen(function*() {
      const why = <A, R>(layer: Layer.Layer<A, never, R>) =>
        Effect.scoped(Layer.build(layer)).pipe(
          Effect.provide(HttpApiBuilder.Router.Live),
          Effect.as("built"),
          Effect.catchAllCause((cause) => Effect.succeed(Cause.pretty(cause)))
        ) as Effect.Effect<string>
      const schedule = Cron.unsafeParse("* * * * *")
      const task = ScheduledTask.make({ name: "twice", schedule, run: () => Effect.void })
      const twice = ScheduleConsole.layer(Api, [Effect.succeed(yield* task), Effect.succeed(yield* task)])
      assert.include(yield* why(twice), "two schedules are named twice")
      const without = ScheduleConsole.layer(HttpApi.make("without"), [])
      assert.include(yield* why(without), "add ScheduleConsole.Group to it")
    }))
})
