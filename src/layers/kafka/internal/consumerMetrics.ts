import { MetricKey, type MetricLabel } from "effect"
import { tagged, timed, timerKey } from "../../../core/internal/workMetrics.js"
import type { Partition } from "./generation.js"

/** What becomes of a record. */
type RecordOutcome = "Succeeded" | "Retried" | "DeadLettered" | "HandedBack"

const inFlightGauge = MetricKey.gauge("lastcall_kafka_in_flight", { description: "Records that are processed now" })
const lagGauge = MetricKey.gauge("lastcall_kafka_lag", {
  description: "Records of a partition that this member has not finished, as of its last fetch"
})
const recordsCounter = MetricKey.counter("lastcall_kafka_records", { description: "What became of records" })
const runTimer = timerKey(
  "lastcall_kafka_process",
  "How long attempts at a record, or at a batch, take, however they end"
)

/** The metrics of one consumer. */
export interface ConsumerMetrics {
  readonly count: (outcome: RecordOutcome, records: number) => void
  /** So many more records are processed now. */
  readonly running: (change: number) => void
  /** An attempt took so many milliseconds. */
  readonly attempted: (millis: number) => void
  readonly lag: (partition: Partition) => void
}

/** The labels are those that the program gives to all its metrics. */
export const makeConsumerMetrics = (
  name: string,
  labels: ReadonlyArray<MetricLabel.MetricLabel>
): ConsumerMetrics => {
  const counterOf = (outcome: RecordOutcome) => tagged(recordsCounter, { consumer: name, outcome })
  const outcomes = {
    Succeeded: counterOf("Succeeded"),
    Retried: counterOf("Retried"),
    DeadLettered: counterOf("DeadLettered"),
    HandedBack: counterOf("HandedBack")
  }
  const inFlight = tagged(inFlightGauge, { consumer: name })
  const time = timed(runTimer, { consumer: name })
  const makeLag = ({ partition, topic }: Partition) =>
    tagged(lagGauge, { consumer: name, topic, partition: String(partition) })
  const lags = new WeakMap<Partition, ReturnType<typeof makeLag>>()
  const lagOf = (partition: Partition) => {
    const found = lags.get(partition)
    if (found !== undefined) return found
    const made = makeLag(partition)
    lags.set(partition, made)
    return made
  }
  return {
    count: (outcome, records) => outcomes[outcome].unsafeUpdate(records, labels),
    running: (change) => inFlight.unsafeModify(change, labels),
    attempted: (millis) => time.unsafeUpdate(millis, labels),
    lag: (partition) => {
      const { current } = partition.offsets
      if (current === undefined) return
      lagOf(partition).unsafeUpdate(Math.max(0, Number(partition.highWatermark - current)), labels)
    }
  }
}
