import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric, MetricState, Option, Schedule, TestClock } from "effect"
import { makeWorld, valueOf } from "./consumerWorld.js"

const letters = (...values: ReadonlyArray<string>) => values.map((value) => [null, value] as const)

/** The metrics of one consumer, by name and what distinguishes them. Of the histogram, how many times it has. */
const metricsOf = (consumer: string) =>
  Effect.map(Metric.snapshot, (pairs) =>
    Object.fromEntries(
      pairs.flatMap(({ metricKey: { name, tags }, metricState }) => {
        const labels = new Map(tags.map(({ key, value }) => [key, value]))
        if (labels.get("consumer") !== consumer) return []
        const rest = Array.from(labels).filter(([key]) => key !== "consumer" && key !== "time_unit")
        const value = MetricState.isHistogramState(metricState)
          ? metricState.count
          : MetricState.isCounterState(metricState)
          ? metricState.count
          : MetricState.isGaugeState(metricState)
          ? metricState.value
          : undefined
        return [[[name, ...rest.map(([, value]) => value).sort()].join(" "), value]]
      })
    ))

describe("The metrics of a Kafka consumer", () => {
  it.scoped("count what became of records, and show those that run and the lag of each partition", () =>
    Effect.gen(function*() {
      const name = "measured"
      const { finish, gated, kafka, settled, start } = yield* makeWorld
      const app = yield* start({
        name,
        order: "key",
        deadLetterTopic: "dead",
        retry: Schedule.intersect(Schedule.spaced("1 second"), Schedule.recurs(1)),
        process: (record) => valueOf(record) === "bad" ? Effect.fail("no") : gated(record)
      }, [0, 1])
      kafka.append(0, letters("a", "bad", "b"))
      kafka.append(1, letters("c"))
      yield* kafka.poll
      yield* settled
      assert.deepInclude(yield* metricsOf(name), {
        "lastcall_kafka_in_flight": 3,
        "lastcall_kafka_lag 0 orders": 3,
        "lastcall_kafka_lag 1 orders": 1,
        "lastcall_kafka_records Retried": 1,
        "lastcall_kafka_process": 1
      })
      yield* TestClock.adjust("1 second")
      yield* finish("a", "c")
      yield* settled
      yield* TestClock.adjust("1 second")
      yield* settled
      assert.deepInclude(yield* metricsOf(name), {
        "lastcall_kafka_in_flight": 1,
        "lastcall_kafka_lag 0 orders": 1,
        "lastcall_kafka_lag 1 orders": 0,
        "lastcall_kafka_records DeadLettered": 1,
        "lastcall_kafka_records Succeeded": 2,
        "lastcall_kafka_process": 4
      })
      yield* app.signal("SIGTERM")
      yield* TestClock.adjust("1 minute")
      yield* app.report
      assert.deepInclude(yield* metricsOf(name), {
        "lastcall_kafka_in_flight": 0,
        "lastcall_kafka_records HandedBack": 1,
        "lastcall_kafka_process": 5
      })
      assert.deepStrictEqual(Option.fromNullable(kafka.log.at(-1)), Option.some("leave"))
    }))
})
