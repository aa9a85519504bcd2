import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FastCheck as fc, Layer, Logger, LogLevel, Schedule, Scope } from "effect"
import * as KafkaConsumer from "../../../src/layers/kafka/KafkaConsumer.js"
import { long } from "../../kit/long.js"
import { virtually } from "../../kit/virtually.js"
import { valueOf } from "./consumerWorld.js"
import { makeMemoryKafka, topic } from "./memoryKafka.js"

const partitions = [0, 1, 2]
const seconds = (max: number) => fc.integer({ min: 0, max: max * 4 }).map((quarters) => quarters / 4)
const record = fc.record({
  partition: fc.constantFrom(...partitions),
  key: fc.constantFrom("x", "y", null),
  takes: seconds(6),
  failures: fc.integer({ min: 0, max: 4 })
})
/** What the group and its coordinator do, one after the other. */
const change = fc.record({
  after: seconds(4),
  what: fc.oneof(
    fc.record({ assigned: fc.subarray(partitions), lost: fc.boolean() }),
    fc.constantFrom("accept" as const, "Unavailable" as const, "Rebalancing" as const, "heartbeat" as const)
  )
})
const scenario = fc.record({
  records: fc.array(record, { maxLength: 20 }),
  changes: fc.array(change, { maxLength: 6 }),
  order: fc.constantFrom("key" as const, "partition" as const),
  concurrency: fc.integer({ min: 1, max: 4 }),
  maxUncommitted: fc.integer({ min: 1, max: 6 }),
  commitCount: fc.integer({ min: 1, max: 4 }),
  revocationTimeout: seconds(5),
  sessionTimeout: seconds(6).map((seconds) => seconds + 10),
  drainTimeout: seconds(8),
  /** The consumer is released in the middle, or once everything is finished. */
  early: fc.boolean()
})
type Scenario = typeof scenario extends fc.Arbitrary<infer A> ? A : never

const observe = (scenario: Scenario) =>
  Effect.gen(function*() {
    const { changes, drainTimeout, early, records, revocationTimeout, sessionTimeout, ...options } = scenario
    const kafka = yield* makeMemoryKafka(5)
    records.forEach(({ key, partition }, index) => kafka.append(partition, [[key, String(index)]]))
    const [finished, violations] = [new Set<string>(), new Array<string>()]
    const running = new Set<string>()
    const sizes = partitions.map((partition) =>
      BigInt(records.filter((record) => record.partition === partition).length)
    )
    const firstUnfinished = (partition: number) => {
      let offset = 0n
      while (finished.has(`${partition}@${offset}`)) offset++
      return offset
    }
    kafka.onCommit = (partition, offset) => {
      if (offset > firstUnfinished(partition)) violations.push(`commit ${partition}@${offset}`)
    }
    const scope = yield* Scope.make()
    const consumer = KafkaConsumer.layer({
      ...options,
      groupId: "group",
      topics: [topic],
      drainTimeout: `${drainTimeout} seconds`,
      revocationTimeout: `${revocationTimeout} seconds`,
      sessionTimeout: `${sessionTimeout} seconds`,
      deadLetterTopic: "dead",
      retry: Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(2)),
      process: (record, { attempt }) => {
        const { failures, key, takes } = records[Number(valueOf(record))]!
        const lane = scenario.order === "partition"
          ? String(record.partition)
          : key === null
          ? valueOf(record)
          : `${record.partition} ${key}`
        const fails = attempt <= failures
        const enter = Effect.sync(() => {
          if (running.has(lane)) violations.push(`two records of ${lane} at a time`)
          running.add(lane)
          if (running.size > scenario.concurrency) violations.push(`${running.size} records at a time`)
        })
        return Effect.zipRight(enter, Effect.sleep(`${takes} seconds`)).pipe(
          Effect.zipRight(Effect.suspend(() => {
            // The third failure makes it a dead letter.
            if (!fails || attempt === 3) finished.add(`${record.partition}@${record.offset}`)
            return fails ? Effect.fail("no") : Effect.void
          })),
          Effect.ensuring(Effect.sync(() => running.delete(lane)))
        )
      }
    })
    yield* Layer.buildWithScope(Layer.provide(consumer, kafka.layer), scope)
    yield* kafka.rebalance(partitions)
    yield* Effect.forkIn(Effect.repeat(kafka.poll, Schedule.spaced("250 millis")), scope)
    const beat = Effect.suspend(() => kafka.answer === "accept" ? kafka.heartbeat : Effect.void)
    yield* Effect.forkIn(Effect.repeat(beat, Schedule.spaced("3 seconds")), scope)
    for (const { after, what } of changes) {
      yield* Effect.sleep(`${after} seconds`)
      if (what === "heartbeat") yield* kafka.heartbeat
      else if (typeof what === "string") kafka.answer = what
      else yield* kafka.rebalance(what.assigned, { lost: what.lost })
    }
    kafka.answer = "accept"
    yield* Effect.sleep("1 second")
    yield* kafka.rebalance(partitions)
    const everything = () =>
      partitions.every((partition) => (kafka.committed.get(partition) ?? 0n) === sizes[partition])
    if (!early) yield* Effect.repeat(Effect.sleep("1 second"), { until: everything, times: 1_200 })
    yield* Scope.close(scope, Exit.void)
    return {
      violations,
      stale: kafka.stale,
      committed: partitions.map((partition) => kafka.committed.get(partition) ?? 0n),
      finished: partitions.map(firstUnfinished),
      sizes,
      left: kafka.log.at(-1)
    }
  }).pipe(Logger.withMinimumLogLevel(LogLevel.None))

const check = (runs: number) =>
  fc.assert(
    fc.asyncProperty(scenario, async (scenario) => {
      const { changes, early } = scenario
      const { committed, finished, left, sizes, stale, violations } = await Effect.runPromise(
        virtually(observe(scenario))
      )
      assert.deepStrictEqual(violations, [])
      // A commit of a member that the group has lost is refused. It shows the member that it is lost.
      if (changes.every(({ what }) => typeof what === "string" || !what.lost)) assert.deepStrictEqual(stale, [])
      // Every commit of a membership that ends may have been refused: then its records are delivered again.
      const accepted = changes.every(({ what }) => what === "accept" || typeof what === "object" && !what.lost)
      if (accepted || !early) assert.deepStrictEqual(committed, finished)
      if (!early) assert.deepStrictEqual(committed, sizes)
      assert.strictEqual(left, "leave")
    }),
    { numRuns: runs }
  )

describe("For all records, completions, failures and rebalances", () => {
  it("no offset is committed above a record that is not finished, and in the end everything finished is committed", () =>
    check(long ? 600 : 40))
})
