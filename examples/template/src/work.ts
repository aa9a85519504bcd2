// The workers, and work by the clock. A job that does not end in time is handed back: another process, or the next one, runs it.
import { Cron, Effect, Schema } from "effect"
import { ScheduledJob, WorkerPool } from "lastcall"
import { Orders } from "./orders.js"

export class Confirmations extends WorkerPool.Tag("confirmations")<Confirmations, { readonly order: string }>({
  payload: Schema.Struct({ order: Schema.String })
}) {}

export const Workers = Confirmations.layer({
  concurrency: 4,
  drainTimeout: "10 seconds",
  process: ({ order }, job) =>
    Effect.gen(function*() {
      const orders = yield* Orders
      yield* Effect.log(`confirms ${order}`)
      yield* Effect.sleep("1 second") // stands for a mail, outside of any transaction
      // The write and the end of the job are one commit.
      yield* job.complete(orders.confirm(order))
      yield* Effect.log(`confirmed ${order}`)
    })
})

/** Once a day, in one of the processes. */
export const Cleanup = ScheduledJob.layer({
  name: "cleanup",
  schedule: Cron.unsafeParse("0 3 * * *", "UTC"),
  missed: "once",
  run: (_tick, job) => Effect.flatMap(Orders, (orders) => job.complete(orders.deleteOld))
})
