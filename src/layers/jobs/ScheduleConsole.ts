/**
 * An HTTP API to operate schedules: when each runs next, how its last run went, pause, resume, and a run at once. A group of
 * `@effect/platform`'s `HttpApi`, beside that of `JobConsole`. It changes what runs, so it needs what keeps others out: a
 * middleware of the app.
 *
 * @example
 * ```ts
 * import { HttpApi, HttpApiBuilder } from "@effect/platform"
 * import { Context, Cron, Effect, Layer } from "effect"
 * import { ScheduleConsole, ScheduledJob } from "lastcall"
 *
 * class Nightly extends Context.Tag("Nightly")<Nightly, ScheduledJob.Service>() {}
 *
 * export const NightlyLive = Layer.scoped(Nightly, ScheduledJob.make({
 *   name: "nightly-report",
 *   schedule: Cron.unsafeParse("30 3 * * *", "Europe/Berlin"),
 *   run: () => Effect.log("the report")
 * }))
 *
 * class Api extends HttpApi.make("app").add(ScheduleConsole.Group.prefix("/admin")) {}
 *
 * export const ApiLive = HttpApiBuilder.api(Api).pipe(Layer.provide(ScheduleConsole.layer(Api, [Nightly])))
 * ```
 *
 * @module
 * @since 0.1.0
 */
import { type HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "@effect/platform"
import { Effect, Exit, Layer, Option, Predicate, Schema } from "effect"
import { available, distinct } from "./internal/console.js"
import { JobsUnavailable, ScheduleNotFound } from "./internal/consoleErrors.js"
import type { JobSourceError } from "./JobSource.js"
import type * as ScheduledJob from "./ScheduledJob.js"
import type * as ScheduledTask from "./ScheduledTask.js"

export { JobsUnavailable, ScheduleNotFound }

/**
 * The operations of a schedule: those of a job that one process runs, or of a task that each process runs.
 *
 * @since 0.1.0
 * @category models
 */
export type Service = ScheduledJob.Service | ScheduledTask.Service

const Run = Schema.Struct({
  /** The tick of a job; when a task began. */
  at: Schema.DateTimeUtc,
  /** The id of the job that runs it; `null` for a task. */
  job: Schema.OptionFromNullOr(Schema.String),
  /** `Ended`: it succeeded, or was discarded. `Failed`: it is a dead letter, or its task failed. */
  state: Schema.Literal("Waiting", "Running", "Ended", "Failed")
})

/** A schedule at one moment. */
const ScheduleState = Schema.Struct({
  name: Schema.String,
  /** A `Job` runs in one of the processes, and its state is that of all of them. A `Task` runs in each, and its state is that of this one. */
  kind: Schema.Literal("Job", "Task"),
  /** See `ScheduledTask.Status`. A job is waiting, running or paused. */
  state: Schema.Literal("Waiting", "Running", "Paused", "Ended", "Crashed", "Stopped"),
  nextRunAt: Schema.OptionFromNullOr(Schema.DateTimeUtc),
  /** The last run: of a job the one that was offered last, of a task the one that has ended last. */
  lastRun: Schema.OptionFromNullOr(Run)
}).annotations({ identifier: "Schedule" })

const schedule = HttpApiSchema.param("schedule", Schema.String)

const describe = (text: string) => OpenApi.annotations({ description: text })

/**
 * The group. Its paths begin with `/schedules`: use `prefix` to put them elsewhere, and `middleware` to keep others out.
 *
 * @since 0.1.0
 * @category api
 */
export class Group extends HttpApiGroup.make("schedules")
  .add(
    HttpApiEndpoint.get("schedules", "/schedules")
      .addSuccess(Schema.Struct({ schedules: Schema.Array(ScheduleState) }))
      .annotateContext(describe("The schedules of this process. Those of jobs are the same in all processes."))
  )
  .add(
    HttpApiEndpoint.get("schedule")`/schedules/${schedule}`.addSuccess(ScheduleState).addError(ScheduleNotFound)
      .annotateContext(describe("One of them."))
  )
  .add(
    HttpApiEndpoint.post("pause")`/schedules/${schedule}/pause`.addSuccess(ScheduleState).addError(ScheduleNotFound)
      .annotateContext(describe(
        "No tick begins a run: of a job in all processes, of a task in the one that answers. A run goes on."
      ))
  )
  .add(
    HttpApiEndpoint.post("resume")`/schedules/${schedule}/resume`.addSuccess(ScheduleState).addError(ScheduleNotFound)
      .annotateContext(describe("Takes the pause back."))
  )
  .add(
    HttpApiEndpoint.post("run")`/schedules/${schedule}/run`
      .addSuccess(Schema.Struct({ job: Schema.OptionFromNullOr(Schema.String) }), { status: 202 })
      .addError(ScheduleNotFound)
      .annotateContext(describe(
        "Runs it at once, also while it is paused. The answer has the id of the job; `null` for a task."
      ))
  )
  .addError(JobsUnavailable)
{}

const isJob = (service: Service): service is ScheduledJob.Service => Predicate.hasProperty(service, "deadLetters")

const runStates = {
  Waiting: "Waiting",
  Delayed: "Waiting",
  Blocked: "Waiting",
  Running: "Running",
  Dead: "Failed",
  Ended: "Ended"
} as const

const jobState = ({ lastRun, nextRunAt, paused }: ScheduledJob.Status): Omit<typeof ScheduleState.Type, "name"> => {
  const last = Option.map(lastRun, ({ id, scheduledAt, state }) => ({
    at: scheduledAt,
    job: Option.some(id),
    state: runStates[state]
  }))
  const isRunning = Option.exists(last, ({ state }) => state === "Running")
  return { kind: "Job", state: isRunning ? "Running" : paused ? "Paused" : "Waiting", nextRunAt, lastRun: last }
}

const taskState = ({ lastRun, nextRunAt, state }: ScheduledTask.Status): Omit<typeof ScheduleState.Type, "name"> => ({
  kind: "Task",
  state,
  nextRunAt,
  lastRun: Option.map(lastRun, ({ exit, startedAt }) => ({
    at: startedAt,
    job: Option.none(),
    state: Exit.isSuccess(exit) ? "Ended" : "Failed"
  }))
})

const toState = (service: Service) =>
  Effect.map(
    isJob(service) ? Effect.map(service.status, jobState) : Effect.map(service.status, taskState),
    (state) => ({ name: service.name, ...state })
  )

/** The id of the job that runs it. */
const run = (service: Service): Effect.Effect<Option.Option<string>, JobSourceError | JobsUnavailable> =>
  isJob(service)
    ? service.runNow.pipe(
      Effect.map(Option.some),
      Effect.catchTag("QueueFull", ({ message }) => new JobsUnavailable({ message }))
    )
    : Effect.flatMap(service.runNow, (willRun) =>
      willRun
        ? Effect.succeed(Option.none<string>())
        : new JobsUnavailable({ message: `${service.name}: it runs no more in this process` }))

/** What the endpoints do, over the schedules of this process. */
const makeConsole = (services: ReadonlyArray<Service>) => {
  const byName = new Map(services.map((service) => [service.name, service]))
  const withSchedule = <A>(
    name: string,
    f: (service: Service) => Effect.Effect<A, JobSourceError | JobsUnavailable>
  ): Effect.Effect<A, JobsUnavailable | ScheduleNotFound> => {
    const service = byName.get(name)
    return service === undefined
      ? Effect.fail(new ScheduleNotFound({ message: `no schedule of this process is named ${name}` }))
      : available(f(service))
  }
  return {
    schedules: Effect.map(
      available(Effect.forEach(services, toState, { concurrency: 4 })),
      (schedules) => ({ schedules })
    ),
    schedule: (name: string) => withSchedule(name, toState),
    setPaused: (name: string, paused: boolean) =>
      withSchedule(name, (service) => Effect.zipRight(paused ? service.pause : service.resume, toState(service))),
    run: (name: string) => Effect.map(withSchedule(name, run), (job) => ({ job }))
  }
}

/**
 * The group's handlers, for an API to which `Group` was added, over these schedules: tags or other effects that return what
 * `ScheduledJob.make` or `ScheduledTask.make` has returned. Two schedules of one name are a defect, and so is an API without the
 * group.
 *
 * **Errors:** a source that is away is answered with `JobsUnavailable` (503), and so is a run of a task whose process is being
 * drained. **Not promised:** tasks of other processes are not seen.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <
  ApiId extends string,
  Groups extends HttpApiGroup.HttpApiGroup.Any,
  E,
  R,
  const Schedules extends ReadonlyArray<Effect.Effect<Service, never, unknown>>
>(
  api: HttpApi.HttpApi<ApiId, Groups, E, R>,
  schedules: Schedules
): Layer.Layer<
  HttpApiGroup.ApiGroup<ApiId, "schedules">,
  never,
  Effect.Effect.Context<Schedules[number]> | HttpApiGroup.HttpApiGroup.MiddlewareWithName<Groups, "schedules">
> => {
  if (!("schedules" in api.groups)) {
    return Layer.die(new Error("ScheduleConsole: the API lacks the group: add ScheduleConsole.Group to it"))
  }
  // What an app adds to the group, such as a middleware, does not concern its handlers.
  const alone = api as unknown as HttpApi.HttpApi<ApiId, typeof Group>
  const all: ReadonlyArray<Effect.Effect<Service, never, unknown>> = schedules
  const layer = HttpApiBuilder.group(
    alone,
    "schedules",
    (handlers) =>
      Effect.map(
        Effect.flatMap(Effect.all(all), (services) => distinct("ScheduleConsole: two schedules", services)),
        (services) => {
          const console = makeConsole(services)
          return handlers
            .handle("schedules", () => console.schedules)
            .handle("schedule", ({ path }) => console.schedule(path.schedule))
            .handle("pause", ({ path }) => console.setPaused(path.schedule, true))
            .handle("resume", ({ path }) => console.setPaused(path.schedule, false))
            .handle("run", ({ path }) => console.run(path.schedule))
        }
      )
  )
  return layer as never
}
