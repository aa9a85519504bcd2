import { SqlClient } from "@effect/sql"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, type Option, TestClock } from "effect"
import * as KafkaConsumer from "../../../src/layers/kafka/KafkaConsumer.js"
import * as TestApp from "../../../src/testing/TestApp.js"
import { openDatabase } from "../../kit/database.js"
import { describePostgres } from "../../kit/postgres.js"
import { eventually } from "../../kit/until.js"
import { valueOf } from "./consumerWorld.js"
import { makeMemoryKafka, type MemoryKafka, topic } from "./memoryKafka.js"

const letters = (...values: ReadonlyArray<string>) => values.map((value) => [null, value] as const)

type Context = KafkaConsumer.TransactionContext
type Process = (
  value: string,
  write: ReturnType<Context["transact"]> extends Effect.Effect<infer _A, infer E, infer _R>
    ? Effect.Effect<Option.Option<unknown>, E | Error>
    : never
) => Effect.Effect<unknown, unknown>

describePostgres("A transactional consumer", (postgres) => {
  const makeWorld = Effect.gen(function*() {
    const { sql } = yield* openDatabase(postgres.url)
    yield* Effect.orDie(sql`DROP TABLE IF EXISTS effects, lastcall_kafka_partitions, lastcall_kafka_records`)
    yield* Effect.orDie(sql`CREATE TABLE effects (member text, value text)`)
    const effects = Effect.map(
      Effect.orDie(sql`SELECT member, value FROM effects ORDER BY value`.values),
      (rows) => rows.map((row) => row.join(" "))
    )
    /** A member with a group of its own in memory: of the others it knows through the database alone. */
    const member = (name: string, process: Process, count = 3) =>
      Effect.gen(function*() {
        const kafka = yield* makeMemoryKafka()
        kafka.append(0, letters("a", "b", "c").slice(0, count))
        const app = yield* Effect.orDie(TestApp.start(
          KafkaConsumer.layerTransactional({
            groupId: "group",
            topics: [topic],
            concurrency: 10,
            order: "key",
            deadLetterTopic: "dead",
            process: (record, { transact }) => {
              const value = valueOf(record)
              return process(value, transact(sql`INSERT INTO effects VALUES (${name}, ${value})`))
            }
          }).pipe(Layer.provide(kafka.layer), Layer.provide(Layer.succeed(SqlClient.SqlClient, sql)))
        ))
        yield* kafka.rebalance([0])
        yield* eventually("the partition is open", Effect.sync(() => kafka.log.includes("resume 0")))
        yield* kafka.poll
        return { kafka, app }
      })
    return { sql, effects, member }
  })

  it.scoped("whose partition another one has claimed writes nothing, and is interrupted", () =>
    Effect.gen(function*() {
      const { effects, member } = yield* makeWorld
      const [gate, held] = [yield* Effect.makeLatch(false), yield* Effect.makeLatch(false)]
      const seen: Array<string> = []
      yield* member("first", (_, write) =>
        Effect.zipRight(held.open, gate.await).pipe(
          Effect.zipRight(
            Effect.uninterruptible(Effect.map(Effect.flip(write), (error) => seen.push(String(error))))
          ),
          Effect.onInterrupt(() => Effect.sync(() => seen.push("interrupted")))
        ), 1)
      yield* held.await
      yield* member("second", (_, write) => write)
      yield* eventually("the second has written", effects, ({ length }) => length === 3)
      yield* gate.open
      yield* eventually("the first is interrupted", Effect.sync(() => seen.includes("interrupted")))
      assert.include(seen[0], "another member has claimed the partition")
      assert.deepStrictEqual(yield* effects, ["second a", "second b", "second c"])
    }))

  it.scoped("that claims a partition waits for the transaction of the one before, and does not run its record again", () =>
    Effect.gen(function*() {
      const { effects, member, sql } = yield* makeWorld
      const [gate, held] = [yield* Effect.makeLatch(false), yield* Effect.makeLatch(false)]
      yield* member(
        "first",
        (_, write) => sql.withTransaction(Effect.zipLeft(write, Effect.zipRight(held.open, gate.await))),
        1
      )
      yield* held.await
      const runs: Array<string> = []
      const second = yield* Effect.fork(member("second", (value, write) => {
        runs.push(value)
        return write
      }))
      yield* eventually(
        "the claim waits for the lock",
        Effect.orDie(sql`SELECT 1 FROM pg_locks WHERE NOT granted`),
        ({ length }) => length > 0
      )
      yield* gate.open
      yield* Fiber.join(second)
      yield* eventually("the second has written", effects, ({ length }) => length === 3)
      assert.deepStrictEqual(yield* effects, ["first a", "second b", "second c"])
      assert.deepStrictEqual(runs.sort(), ["b", "c"])
    }))

  it.scoped("writes once when its process fails after its transaction", () =>
    Effect.gen(function*() {
      const { effects, member } = yield* makeWorld
      const writes: Array<string> = []
      const { kafka } = yield* member("first", (_, write) =>
        Effect.flatMap(write, (written) => {
          writes.push(written._tag)
          return writes.length === 1 ? Effect.fail("no") : Effect.void
        }), 1)
      yield* eventually("the first attempt has failed", Effect.sync(() => writes.length === 1))
      yield* Effect.repeatN(Effect.yieldNow(), 500)
      yield* TestClock.adjust("1 minute")
      yield* eventually("the second attempt ran", Effect.sync(() => writes.length === 2))
      assert.deepStrictEqual(writes, ["Some", "None"])
      assert.deepStrictEqual(yield* effects, ["first a"])
      assert.deepStrictEqual(kafka.sent, [])
    }))

  it.scoped("sends a record at which three processes have ended to the dead letters, without running it", () =>
    Effect.gen(function*() {
      const { effects, member, sql } = yield* makeWorld
      const { app } = yield* member("first", () => Effect.void, 0)
      yield* app.signal("SIGTERM")
      yield* app.report
      yield* Effect.orDie(
        sql`INSERT INTO lastcall_kafka_records VALUES ('group', ${topic}, 0, 0, 1, 3), ('group', ${topic}, 0, 1, 1, 2)`
      )
      const { kafka } = yield* member("second", (_, write) => write)
      yield* eventually("the second has written", effects, ({ length }) => length === 2)
      yield* eventually("the dead letter", Effect.sync(() => kafka.sent.length === 1))
      assert.deepStrictEqual(yield* effects, ["second b", "second c"])
      assert.deepInclude(kafka.sent[0]![1].headers, {
        "dead-letter-offset": "0",
        "dead-letter-error": "ProcessEnded: 3 processes ended while they processed the record"
      })
    }))

  it.scoped("that drains hands records back without counting them", () =>
    Effect.gen(function*() {
      const { member, sql } = yield* makeWorld
      const started = yield* Effect.makeLatch(false)
      const { app } = yield* member("first", () => Effect.zipRight(started.open, Effect.never), 1)
      yield* started.await
      const attempts = Effect.orDie(sql`SELECT attempts FROM lastcall_kafka_records`.values)
      assert.deepStrictEqual(yield* attempts, [[1]])
      yield* app.signal("SIGTERM")
      yield* TestClock.adjust("1 minute")
      yield* app.report
      assert.deepStrictEqual(yield* attempts, [])
    }))

  it.scoped("that drains claims nothing when the group shares out its partitions meanwhile", () =>
    Effect.gen(function*() {
      const { effects, member, sql } = yield* makeWorld
      const [started, gate] = [yield* Effect.makeLatch(false), yield* Effect.makeLatch(false)]
      const { app, kafka } = yield* member(
        "first",
        (_, write) => started.open.pipe(Effect.zipRight(gate.await), Effect.zipRight(write)),
        1
      )
      yield* started.await
      yield* app.signal("SIGTERM")
      yield* app.until("group", "draining")
      const rebalance = yield* Effect.fork(kafka.rebalance([0, 1]))
      yield* gate.open
      yield* Fiber.join(rebalance)
      yield* app.report
      assert.deepStrictEqual(yield* effects, ["first a"])
      assert.deepStrictEqual(
        yield* Effect.orDie(sql`SELECT partition, epoch, next_offset FROM lastcall_kafka_partitions`.values),
        [[0, 1, "1"]]
      )
    }))

  /** A record that does not end outlasts three losses of its membership: no process has ended at it. */
  const outlastsLosses = (lose: (kafka: MemoryKafka) => Effect.Effect<unknown>) =>
    Effect.gen(function*() {
      const { effects, member } = yield* makeWorld
      let runs = 0
      const { kafka } = yield* member(
        "first",
        (_, write) => Effect.suspend(() => ++runs > 3 ? write : Effect.never),
        1
      )
      for (let loss = 1; loss <= 3; loss++) {
        yield* eventually(`run ${loss}`, Effect.sync(() => runs === loss))
        yield* lose(kafka)
        const opened = () => kafka.log.filter((line) => line === "resume 0").length === loss + 1
        yield* eventually("the partition is open", Effect.sync(opened))
        yield* kafka.poll
      }
      yield* eventually("the last run has written", effects, ({ length }) => length === 1)
      assert.deepStrictEqual(kafka.sent, [])
    })

  it.scoped("that loses its membership hands records back without counting them", () =>
    outlastsLosses((kafka) =>
      Effect.zipRight(
        kafka.fail(new Error("the coordinator is away"), true),
        kafka.rebalance([0], { lost: true })
      )
    ))

  it.scoped("that was held to be lost, and was not, hands records back without counting them", () =>
    outlastsLosses((kafka) => Effect.zipRight(TestClock.adjust("1 minute"), kafka.heartbeat)))

  it.scoped("does not count an attempt that has failed as one at which its process ends", () =>
    Effect.gen(function*() {
      const { effects, member, sql } = yield* makeWorld
      const { app } = yield* member("first", () => Effect.void, 0)
      yield* app.signal("SIGTERM")
      yield* app.report
      yield* Effect.orDie(sql`INSERT INTO lastcall_kafka_records VALUES ('group', ${topic}, 0, 0, 1, 2)`)
      const attempts = Effect.orDie(sql`SELECT attempts FROM lastcall_kafka_records`.values)
      const seen: Array<ReadonlyArray<unknown>> = []
      yield* member("second", (_, write) =>
        Effect.zipRight(
          Effect.map(attempts, (rows) => void seen.push(...rows)),
          seen.length === 0 ? Effect.fail("no") : write
        ), 1)
      yield* eventually("the first attempt has failed, and is not counted", attempts, ([row]) =>
        seen.length === 1 && row?.[0] === 2)
      yield* Effect.repeatN(Effect.yieldNow(), 500)
      yield* TestClock.adjust("1 minute")
      yield* eventually("the second has written", effects, ({ length }) =>
        length === 1)
      assert.deepStrictEqual(seen, [[3], [3]])
    }))
})
