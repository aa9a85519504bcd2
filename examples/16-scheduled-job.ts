// Work by the clock, once for all processes: each tick is a job. Start it two or three times over one PostgreSQL, stop some of them or
// kill them, and start them again after a while: each tick is run once, also those that passed while no process ran.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/16-scheduled-job.ts
// Press:    Ctrl+C
// Prints:   a line for each tick, then the report
// Needs:    nothing, or the DATABASE_URL of a PostgreSQL
import { NodeRuntime } from "@effect/platform-node"
import { Cron, DateTime, Effect, Layer } from "effect"
import { Database, JobSourceSql, launch, ScheduledJob } from "lastcall"

const Report = ScheduledJob.layer({
  name: "report",
  schedule: Cron.unsafeParse("*/5 * * * * *", "UTC"),
  missed: "all",
  overlap: "queue",
  run: ({ scheduledAt }, job) =>
    Effect.zipRight(
      Effect.sleep("1 second"),
      job.complete(Effect.log(`the report of ${DateTime.formatIso(scheduledAt)}, attempt ${job.attempt}`))
    )
})

const App = Report.pipe(
  Layer.provide(JobSourceSql.layer()),
  Layer.provide(Database.layerFromEnv)
)

App.pipe(launch(), NodeRuntime.runMain)
