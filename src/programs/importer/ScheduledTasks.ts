/**
 * The tasks of this process that run by the clock, for those who look at them.
 */
import { Effect, Exit, Option, Ref, Schema } from "effect"
import type * as ScheduledTask from "../../layers/jobs/ScheduledTask.js"
import { TaskNotFound } from "./Errors.js"

/** A task at one moment. */
export const TaskState = Schema.Struct({
  name: Schema.String,
  state: Schema.Literal("Waiting", "Running", "Paused", "Ended", "Crashed", "Stopped"),
  nextRunAt: Schema.NullOr(Schema.DateTimeUtc),
  /** Its last run that has ended; null before. */
  lastRun: Schema.NullOr(Schema.Struct({
    startedAt: Schema.DateTimeUtc,
    endedAt: Schema.DateTimeUtc,
    failed: Schema.Boolean
  }))
}).annotations({ identifier: "Task" })

const toState = (name: string, { lastRun, nextRunAt, state }: ScheduledTask.Status): typeof TaskState.Type => ({
  name,
  state,
  nextRunAt: Option.getOrNull(nextRunAt),
  lastRun: Option.getOrNull(
    Option.map(lastRun, ({ endedAt, exit, startedAt }) => ({ startedAt, endedAt, failed: Exit.isFailure(exit) }))
  )
})

export class ScheduledTasks extends Effect.Service<ScheduledTasks>()("importer/ScheduledTasks", {
  effect: Effect.gen(function*() {
    const tasks = yield* Ref.make<ReadonlyMap<string, ScheduledTask.Service>>(new Map())
    return {
      add: (name: string, task: ScheduledTask.Service) =>
        Ref.update(tasks, (tasks) => new Map([...tasks, [name, task]])),
      list: Effect.flatMap(
        Ref.get(tasks),
        (tasks) => Effect.forEach(tasks, ([name, { status }]) => Effect.map(status, (status) => toState(name, status)))
      ),
      /** Asks for a run at once. */
      runNow: (name: string) =>
        Effect.flatMap(Ref.get(tasks), (tasks) => {
          const task = tasks.get(name)
          return task === undefined
            ? Effect.fail(new TaskNotFound({ message: `there is no task ${name}` }))
            : Effect.asVoid(task.runNow)
        })
    }
  })
}) {}
