import { SqlClient } from "@effect/sql"
import { Context, Effect, Exit, Layer, LogLevel, Schedule } from "effect"
import { assert, describe, it } from "vitest"
import * as Drain from "../../src/core/Drain.js"
import * as Database from "../../src/layers/database/Database.js"
import { runInMemory } from "./serviceWorld.js"

const resource = (name: string, steps: Drain.Steps<void> = {}) =>
  Layer.scopedDiscard(Drain.acquire({ name, acquire: Effect.void, release: () => Effect.void, ...steps }))

/** A pool with jobs of five seconds. */
const pool = resource("pool", { drain: () => Effect.sleep("5 seconds"), interrupt: () => Effect.void })
const database = resource("database")
/** Every acquire is uninterruptible, so this one ignores its interruption. */
const hangs = Layer.scopedDiscard(Drain.acquire({ name: "queue", acquire: Effect.never }))
const fails = Layer.effectDiscard(Effect.delay(Effect.fail(new Error("no such table")), "1 second"))

describe("a start that fails", () => {
  it("is seen while a neighbour's acquire hangs: what was acquired is drained and released, and the process exits 1", async () => {
    const observed = await runInMemory(
      Layer.merge(fails, hangs.pipe(Layer.provide(pool))).pipe(Layer.provide(database)),
      []
    )
    assert.deepStrictEqual(observed, {
      journal: [
        "1s app shutdown requested: failed to start",
        "1s app Draining",
        "12.5s start Abandoned",
        "12.5s pool draining",
        "17.5s pool releasing",
        "17.5s pool Drained",
        "17.5s database releasing",
        "17.5s database Drained",
        "17.5s app Stopped"
      ],
      report: [
        "failed to start: stopped in 16.5s of 25s",
        "├─ start    ━━━━━━━━━━━━━━━━━         11.5s  Abandoned 1 cut",
        "│           an acquire ignored its interruption: queue",
        "├─ pool                     ━━━━━━━      5s  Drained",
        "└─ database                        ━    0ms  Drained",
        "cannot start: no such table",
        "exit 1"
      ],
      log: [
        "1s ERROR cannot start: no such table",
        "12.5s WARN start Abandoned in 11.5s, 1 cut, an acquire ignored its interruption: queue"
      ],
      exit: "17.5s exit 1"
    })
  })

  it("logs no warning below the level of the service", async () => {
    const { log } = await runInMemory(Layer.merge(hangs, fails), [], {}, LogLevel.Error)
    assert.deepStrictEqual(log, ["1s ERROR cannot start: no such table"])
  })

  const shared = hangs.pipe(Layer.provideMerge(pool))
  const sharedFailure = fails.pipe(Layer.provideMerge(database))
  const graphs: Record<string, Layer.Layer<never, unknown>> = {
    merge: Layer.merge(hangs, fails),
    mergeAll: Layer.mergeAll(hangs, Layer.empty, fails, pool),
    provide: Layer.merge(hangs.pipe(Layer.provide(pool)), Layer.empty.pipe(Layer.provide(fails))),
    "nested merges": Layer.merge(Layer.mergeAll(pool, Layer.merge(database, fails)), hangs),
    "a shared layer that hangs": Layer.mergeAll(
      Layer.empty.pipe(Layer.provide(shared)),
      database.pipe(Layer.provide(shared)),
      fails
    ),
    "a shared layer that fails": Layer.mergeAll(
      pool.pipe(Layer.provide(sharedFailure)),
      hangs,
      Layer.empty.pipe(Layer.provide(sharedFailure))
    ),
    "Layer.fresh": Layer.fresh(Layer.merge(hangs, fails)),
    "Layer.suspend": Layer.suspend(() => Layer.merge(hangs, fails)),
    "Layer.unwrapEffect": Layer.unwrapEffect(Effect.succeed(Layer.merge(hangs, fails))),
    "Layer.discard": Layer.discard(Layer.merge(hangs, fails)),
    "Layer.orDie": Layer.orDie(Layer.merge(hangs, fails)),
    "Layer.orElse, without success": Layer.merge(hangs, Layer.orElse(Layer.fail("unused"), () => fails))
  }
  for (const [name, graph] of Object.entries(graphs)) {
    it(`is seen at once in ${name}`, async () => {
      const { exit, journal, log } = await runInMemory(graph, [])
      assert.match(log[0]!, /^1s ERROR (cannot start: no such table|the layer died while it was built)$/)
      assert.strictEqual(journal[0], "1s app shutdown requested: failed to start")
      assert.match(exit, /exit 1$/)
    })
  }

  it("is seen while a finalizer of the failed layer hangs", async () => {
    const { exit, log } = await runInMemory(
      Layer.scopedDiscard(Effect.zipRight(
        Effect.addFinalizer(() => Effect.never),
        Effect.delay(Effect.fail(new Error("no such table")), "1 second")
      )),
      []
    )
    assert.deepStrictEqual(log, [
      "1s ERROR cannot start: no such table",
      "25.5s WARN scope Abandoned in 24.5s, 1 cut, a finalizer that is not bounded by a Drain did not end"
    ])
    assert.strictEqual(exit, "25.5s exit 1")
  })

  it("is one line when nothing else goes wrong, with the layers released in order by the failure's exit", async () => {
    const exits: Array<string> = []
    const noteExit = (name: string) =>
      Layer.scopedDiscard(
        Effect.addFinalizer((exit) =>
          Effect.sync(() =>
            void exits.push(
              `${name}: ${Exit.isFailure(exit) && exit.cause._tag === "Fail" ? exit.cause.error : exit._tag}`
            )
          )
        )
      )
    const { exit, log } = await runInMemory(
      Layer.fail("no such table").pipe(
        Layer.provide(noteExit("pool")),
        Layer.provideMerge(Layer.merge(noteExit("queue"), pool)),
        Layer.provideMerge(noteExit("database"))
      ),
      []
    )
    assert.deepStrictEqual(exits, ["pool: no such table", "queue: no such table", "database: no such table"])
    assert.deepStrictEqual(log, ["0ms ERROR cannot start: no such table"])
    assert.strictEqual(exit, "5s exit 1")
  })

  it("is a layer that interrupts itself", async () => {
    const { exit, log } = await runInMemory(Layer.effectDiscard(Effect.interrupt).pipe(Layer.provide(pool)), [])
    assert.deepStrictEqual(log, ["5s ERROR cannot start: interrupted"])
    assert.strictEqual(exit, "5s exit 1")
  })

  let tries = 0
  class Store extends Context.Tag("Store")<Store, string>() {}
  const recoveries: Record<string, Layer.Layer<never, unknown>> = {
    "Layer.orElse": Layer.orElse(fails, () => Layer.empty),
    "Layer.catchAll, of a merge": Layer.merge(pool, fails).pipe(Layer.catchAll(() => Layer.empty)),
    "Layer.retry": Layer.retry(
      Layer.effectDiscard(Effect.suspend(() => ++tries < 3 ? Effect.fail("not yet") : Effect.void)),
      Schedule.recurs(5)
    ),
    "Layer.tapError, and then Layer.orElse": Layer.orElse(Layer.tapError(fails, Effect.log), () => Layer.empty),
    "the effect of a layer": Layer.scopedDiscard(
      Effect.retry(Layer.build(fails), Schedule.recurs(2)).pipe(
        Effect.zipRight(Effect.provide(Store, Layer.map(fails, () => Context.make(Store, "")))),
        Effect.ignore
      )
    )
  }
  for (const [name, graph] of Object.entries(recoveries)) {
    it(`is not a layer from whose failure ${name} recovers`, async () => {
      const { exit, journal, log } = await runInMemory(graph, [[60_000, "SIGTERM"]])
      assert.match(journal[0]!, /app Running$/)
      assert.deepStrictEqual(log, [])
      assert.strictEqual(exit, "1m exit 0")
    })
  }
})

describe("a signal during the start", () => {
  it("while an acquire hangs: what was acquired is drained, released and reported, within its half of the time", async () => {
    assert.deepStrictEqual(await runInMemory(hangs.pipe(Layer.provide(pool)), [[1000, "SIGTERM"]]), {
      journal: [
        "1s SIGTERM received",
        "1s app shutdown requested: SIGTERM",
        "1s app Draining",
        "12.5s start Abandoned",
        "12.5s pool draining",
        "17.5s pool releasing",
        "17.5s pool Drained",
        "17.5s app Stopped"
      ],
      report: [
        "SIGTERM: stopped in 16.5s of 25s",
        "├─ start ━━━━━━━━━━━━━━━━━         11.5s  Abandoned 1 cut",
        "│        an acquire ignored its interruption: queue",
        "└─ pool                  ━━━━━━━      5s  Drained",
        "exit 1"
      ],
      log: [
        "12.5s WARN start Abandoned in 11.5s, 1 cut, an acquire ignored its interruption: queue",
        "17.5s WARN stopped"
      ],
      exit: "17.5s exit 1"
    })
  })

  it("keeps the reserve, for a pool that does not drain", async () => {
    const stubborn = resource("pool", { drain: () => Effect.never, interrupt: () => Effect.sleep("500 millis") })
    const { exit, journal } = await runInMemory(hangs.pipe(Layer.provide(stubborn)), [[0, "SIGTERM"]])
    assert.deepStrictEqual(journal.slice(3), [
      "11.5s start Abandoned",
      "11.5s pool draining",
      "23s pool interrupting",
      "23.5s pool releasing",
      "23.5s pool Interrupted",
      "23.5s app Stopped"
    ])
    assert.strictEqual(exit, "23.5s exit 1")
  })

  it("and a second one: the hanging acquire has one more second, and the drains stop waiting", async () => {
    const { exit, journal } = await runInMemory(hangs.pipe(Layer.provide(pool)), [[1000, "SIGTERM"], [3000, "SIGTERM"]])
    assert.deepStrictEqual(journal.slice(3), [
      "3s SIGTERM received again, expediting",
      "3s app expedited",
      "4s start Abandoned",
      "4s pool draining",
      "4s pool interrupting",
      "4s pool releasing",
      "4s pool Interrupted",
      "4s app Stopped"
    ])
    assert.strictEqual(exit, "4s exit 1")
  })

  it("waits for an acquire that ends by itself in its half of the time, and exits 0", async () => {
    const slow = resource("embedded database", {}).pipe(Layer.provide(Layer.effectDiscard(
      Effect.uninterruptible(Effect.sleep("10 seconds"))
    )))
    const { exit, report } = await runInMemory(slow.pipe(Layer.provide(pool)), [[1000, "SIGTERM"]])
    assert.deepStrictEqual(report, [
      "SIGTERM: stopped in 14s of 25s",
      "└─ pool                ━━━━━━━━━     5s  Drained",
      "exit 0"
    ])
    assert.strictEqual(exit, "15s exit 0")
  })

  it("lets the drains of what was acquired take all the time when the acquires stop", async () => {
    const busy = resource("pool", { drain: () => Effect.sleep("20 seconds") })
    const waits = Layer.effectDiscard(Effect.never)
    const { exit, journal } = await runInMemory(waits.pipe(Layer.provide(busy)), [[1000, "SIGTERM"]])
    assert.deepStrictEqual(journal.slice(3), [
      "1s pool draining",
      "21s pool releasing",
      "21s pool Drained",
      "21s app Stopped"
    ])
    assert.strictEqual(exit, "21s exit 0")
  })

  it("runs the finalizers outside of any Drain of what was acquired, also those of the layer that hangs", async () => {
    const closed: Array<string> = []
    const noteClosed = (name: string) => Effect.addFinalizer(() => Effect.sync(() => void closed.push(name)))
    const layer = Layer.scopedDiscard(
      Effect.zipRight(noteClosed("of the layer that hangs"), Effect.uninterruptible(Effect.never))
    ).pipe(
      Layer.provide(Layer.scopedDiscard(noteClosed("client"))),
      Layer.merge(Layer.scopedDiscard(noteClosed("neighbour"))),
      Layer.provide(Layer.scopedDiscard(noteClosed("database")))
    )
    const { exit } = await runInMemory(layer, [[1000, "SIGTERM"]])
    assert.sameMembers(closed.slice(0, 3), ["of the layer that hangs", "client", "neighbour"])
    assert.isBelow(closed.indexOf("of the layer that hangs"), closed.indexOf("client"))
    assert.deepStrictEqual(closed.slice(3), ["database"])
    assert.strictEqual(exit, "12.5s exit 1")
  })
})

describe("a start that takes long", () => {
  it("says every ten seconds what it waits for, by the name of the resource or of the span, until it runs", async () => {
    const slow = Layer.mergeAll(
      Layer.scopedDiscard(Drain.acquire({ name: "queue", acquire: Effect.sleep("35 seconds") })),
      Layer.effectDiscard(Effect.withSpan(Effect.sleep("25 seconds"), "migrations")),
      Layer.effectDiscard(Effect.sleep("15 seconds")),
      pool
    )
    const { exit, log } = await runInMemory(slow, [[120_000, "SIGTERM"]])
    assert.deepStrictEqual(log, [
      "10s WARN starting for 10s, waits for queue, migrations, a layer without a name",
      "20s WARN starting for 20s, waits for queue, migrations",
      "30s WARN starting for 30s, waits for queue"
    ])
    assert.strictEqual(exit, "2m 5s exit 0")
  })

  it("names the migrations of a database", async () => {
    const client = Object.assign(() => Effect.void, {
      literal: () => "",
      unsafe: () => Effect.void,
      withTransaction: () => Effect.never
    })
    const slow = Database.migrations({}).pipe(
      Layer.provide(Layer.succeed(SqlClient.SqlClient, client as unknown as SqlClient.SqlClient))
    )
    const { log } = await runInMemory(slow, [[12_000, "SIGTERM"]])
    assert.strictEqual(log[0], "10s WARN starting for 10s, waits for migrations")
  })
})
