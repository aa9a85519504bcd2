import { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Redacted, Scope } from "effect"
import * as Lifecycle from "../../../../src/core/Lifecycle.js"
import { Shutdown } from "../../../../src/core/Shutdown.js"
import * as Database from "../../../../src/layers/database/Database.js"
import type { JobSource } from "../../../../src/layers/jobs/JobSource.js"
import * as JobCarrierRedis from "../../../../src/layers/jobs/redis/JobCarrierRedis.js"
import * as JobSourceRedis from "../../../../src/layers/jobs/redis/JobSourceRedis.js"
import * as ScheduledJob from "../../../../src/layers/jobs/ScheduledJob.js"
import * as JobSourceSql from "../../../../src/layers/jobs/sql/JobSourceSql.js"
import { openDatabase } from "../../../kit/database.js"
import { databaseFolder } from "../../../kit/pglite.js"
import { describeRedis, newPrefix } from "../../../kit/redis.js"
import { eventually } from "../../../kit/until.js"

/** A process that runs a job each second, and notes its ticks. */
const start = <E>(source: Layer.Layer<JobSource, E>, ticks: Array<number>) =>
  Effect.gen(function*() {
    const { shutdown, transition } = yield* Lifecycle.make()
    const scope = yield* Scope.make()
    yield* Layer.buildWithScope(
      ScheduledJob.layer({
        name: "seconds",
        schedule: "1 second",
        missed: "all",
        overlap: "queue",
        run: ({ scheduledAt }) => Effect.sync(() => ticks.push(scheduledAt.epochMillis / 1000))
      }).pipe(Layer.provide(source), Layer.provide(Layer.succeed(Shutdown, shutdown))),
      scope
    )
    const stop = Effect.zipRight(transition("LameDuck"), Scope.close(scope, Exit.void))
    yield* Effect.addFinalizer(() => stop)
    return { stop }
  })

/** Two processes, of which one stops and another one starts. */
const runsEachTickOnce = <E>(newSource: () => Layer.Layer<JobSource, E>) =>
  Effect.gen(function*() {
    const ticks: Array<number> = []
    const reach = (count: number) => eventually(`${count} ticks`, Effect.sync(() => ticks.length >= count))
    const first = yield* start(newSource(), ticks)
    yield* start(newSource(), ticks)
    yield* reach(2)
    yield* first.stop
    yield* reach(3)
    yield* start(newSource(), ticks)
    yield* reach(6)
    assert.deepStrictEqual(ticks, ticks.map((_, n) => ticks[0]! + n))
  })

describeRedis("a scheduled job over Redis", (redis) => {
  it.scopedLive("runs each tick once", () => {
    const prefix = newPrefix()
    return runsEachTickOnce(() => JobSourceRedis.layer({ url: Redacted.make(redis.url), prefix }))
  }, 60_000)

  it.scopedLive(
    "runs each tick once, with Redis as the carrier of the jobs of a database",
    () =>
      Effect.gen(function*() {
        const { database, sql } = yield* openDatabase(`pglite:${yield* Effect.promise(() => databaseFolder())}`)
        const services = Context.make(Database.Database, database).pipe(Context.add(SqlClient.SqlClient, sql))
        const prefix = newPrefix()
        yield* runsEachTickOnce(() =>
          JobSourceSql.layerCarried().pipe(
            Layer.provide(JobCarrierRedis.layer({ url: Redacted.make(redis.url), prefix })),
            Layer.provide(Layer.succeedContext(services))
          )
        )
      }),
    60_000
  )
})
