import { assert, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { take } from "../JobSourceWorld.js"
import { describeEngines, source } from "./JobSourceSqlWorld.js"

describeEngines("JobSourceSql with its defaults", (databases) => {
  it.scopedLive(
    "the job of a dead process is available again within 15 seconds, at the cost of an attempt",
    () =>
      Effect.gen(function*() {
        const [first, second] = yield* databases
        const [dead, alive] = yield* Effect.forEach(
          [first, second],
          (opened) => Effect.flatMap(source(opened), ({ open }) => open({ name: "orphans" }))
        )
        yield* dead!.offer(["job"])
        yield* take(dead!)
        const [elapsed, claim] = yield* Effect.timed(take(alive!))
        assert.deepStrictEqual([claim.payload, claim.attempt], ["job", 2])
        assert.isTrue(
          Duration.between(elapsed, { minimum: "9 seconds", maximum: "15 seconds" }),
          Duration.format(elapsed)
        )
      }),
    60_000
  )
})
