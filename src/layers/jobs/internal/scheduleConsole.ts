import { Effect, Exit, Option, Predicate, Schema } from "effect"
import type { JobSourceError } from "../JobSource.js"
import type * as ScheduledJob from "../ScheduledJob.js"
import type * as ScheduledTask from "../ScheduledTask.js"
import { available } from "./console.js"
import { JobsUnavailable, ScheduleNotFound } from "./consoleErrors.js"

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
export const ScheduleState = Schema.Struct({
  name: Schema.String,
  /** A `Job` runs in one of the processes, and its state is that of all of them. A `Task` runs in each, and its state is that of this one. */
  kind: Schema.Literal("Job", "Task"),
  /** See `ScheduledTask.Status`. A job is waiting, running or paused. */
  state: Schema.Literal("Waiting", "Running", "Paused", "Ended", "Crashed", "Stopped"),
  nextRunAt: Schema.OptionFromNullOr(Schema.DateTimeUtc),
  /** The last run: of a job the one that was offered last, of a task the one that has ended last. */
  lastRun: Schema.OptionFromNullOr(Run)
}).annotations({ identifier: "Schedule" })

const isJob = (service: Service): service is ScheduledJob.Service => Predicate.hasProperty(service, "deadLetters")

const runStates = {
  Waiting: "Waiting",
  Delayed: "Waiting",
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
export const makeScheduleConsole = (services: ReadonlyArray<Service>) => {
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
