import { Context, type Duration, Effect, Layer, Ref } from "effect"
import * as Lifecycle from "../../../src/core/Lifecycle.js"
import * as ScheduledJob from "../../../src/layers/jobs/ScheduledJob.js"
import { makeWorld } from "./WorkerPoolWorld.js"

type Options = Omit<ScheduledJob.Options<unknown, Error, never>, "name" | "run"> & {
  readonly takes?: Duration.DurationInput
  readonly run?: ScheduledJob.Options<unknown, Error, never>["run"]
}

class Scheduled extends Context.Tag("Scheduled")<Scheduled, ScheduledJob.Service>() {}

/** Processes that run one scheduled job over one durable source. Its runs are noted, and take as long as `takes`. */
export const makeScheduleWorld = Effect.gen(function*() {
  const world = yield* makeWorld({ durable: true, lease: "1 hour" })
  const running = yield* Ref.make(0)
  const most = yield* Ref.make(0)
  const seconds = (millis: number) => `${millis / 1000}s`
  return {
    ...world,
    /** How many runs there were at a time. */
    mostAtATime: Ref.get(most),
    /** Starts a process. `stop` ends it as a drain does. */
    start: ({ run, takes = 0, ...options }: Options) =>
      Effect.gen(function*() {
        const process = yield* Lifecycle.make()
        const job: ScheduledJob.Options<unknown, Error, never> = {
          name: "job",
          ...options,
          run: run ?? (({ scheduledAt }) =>
            Ref.updateAndGet(running, (n) => n + 1).pipe(
              Effect.flatMap((n) => Ref.update(most, (max) => Math.max(n, max))),
              Effect.zipRight(world.note(`ran for ${seconds(scheduledAt.epochMillis)}`)),
              Effect.zipRight(Effect.sleep(takes)),
              Effect.ensuring(Ref.update(running, (n) => n - 1))
            ))
        }
        const { context, stop } = yield* world.build(
          Layer.scoped(Scheduled, ScheduledJob.make(job)),
          process.shutdown
        )
        const lameDuck = process.transition("LameDuck")
        return { job: Context.get(context, Scheduled), lameDuck, stop: Effect.zipRight(lameDuck, stop) }
      })
  }
})
