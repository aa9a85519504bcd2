// Work by the clock: no run begins once the shutdown has begun, and one in progress finishes first.
//
// Run it:   node --import tsx --conditions=@lastcall/source examples/18-scheduled.ts
// Press:    Ctrl+C while a run is in progress
// Prints:   the runs, and a report in which the run in progress has finished
// Needs:    nothing
import { NodeRuntime } from "@effect/platform-node"
import { Cron, Effect, Layer, Schedule } from "effect"
import { launch, ScheduledTask } from "lastcall"

const CacheWarmer = ScheduledTask.layer({
  name: "cache-warmer",
  schedule: Schedule.spaced("5 seconds"),
  runAtStart: true,
  run: () => Effect.log("warming").pipe(Effect.zipRight(Effect.sleep("2 seconds")), Effect.zipRight(Effect.log("warm")))
})

const Sweeper = ScheduledTask.layer({
  name: "sweeper",
  schedule: Cron.unsafeParse("0 3 * * *", "Europe/Berlin"),
  jitter: "1 minute",
  run: ({ scheduledAt }) => Effect.log(`sweeping for ${scheduledAt}`)
})

Layer.merge(CacheWarmer, Sweeper).pipe(launch(), NodeRuntime.runMain)
