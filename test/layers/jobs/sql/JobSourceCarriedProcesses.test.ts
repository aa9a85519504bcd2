import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { openDatabase } from "../../../kit/database.js"
import { makeMemoryCarrier } from "../../../kit/memoryCarrier.js"
import { describePostgres } from "../../../kit/postgres.js"
import { carried, holds, newTable } from "./JobSourceCarriedWorld.js"

describePostgres("JobSourceSql with a carrier in two processes", (postgres) => {
  it.scopedLive("jobs offered together reach the carrier together and in order", () =>
    Effect.gen(function*() {
      const carrier = makeMemoryCarrier("1 hour")
      const table = newTable()
      const [one] = yield* Effect.forEach([1, 2], () =>
        Effect.flatMap(
          Effect.flatMap(openDatabase(postgres.url), (opened) => carried(opened, carrier, { table })),
          (source) => source.open({ name: "jobs" })
        ))
      const batches = Array.from({ length: 100 }, (_, n) => [`${n}-a`, `${n}-b`, `${n}-c`])
      yield* Effect.forEach(batches, (ids) => one!.offer(ids, { ids }))
      yield* holds(carrier, batches.flat())
      const calls = carrier.offers.map(({ ids }) => ids.join(" "))
      assert.deepStrictEqual(batches.filter((ids) => !calls.some((call) => call.includes(ids.join(" ")))), [])
    }))
})
