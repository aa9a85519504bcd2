import {
  Clock,
  Context,
  type Fiber,
  FiberRef,
  Metric,
  MetricBoundaries,
  MetricKey,
  type MetricKeyType,
  MetricLabel
} from "effect"
import { unsafeMonotonicMillis } from "./monotonic.js"

type Tags = Readonly<Record<string, string>>

/** A metric whose key has its tags: one that is tagged afterwards makes its key anew for each update. */
export const tagged = <Type extends MetricKeyType.MetricKeyType.Untyped>(key: MetricKey.MetricKey<Type>, tags: Tags) =>
  Metric.fromMetricKey(
    MetricKey.taggedWithLabels(key, Object.entries(tags).map(([name, value]) => MetricLabel.make(name, value)))
  )

/** The labels that the program has given to all metrics of the fiber. */
export const labelsOf = (fiber: Fiber.RuntimeFiber<unknown, unknown>) => fiber.getFiberRef(FiberRef.currentMetricLabels)

/** The key of `Metric.timer`, with its buckets. */
export const timerKey = (name: string, description: string) =>
  MetricKey.histogram(name, MetricBoundaries.exponential({ start: 0.5, factor: 2, count: 35 }), description)

/** A histogram of milliseconds, by the key of `timerKey`. */
export const timed = (timer: ReturnType<typeof timerKey>, tags: Tags) =>
  tagged(timer, { time_unit: "milliseconds", ...tags })

/** Publishes that units of work run, for as long as their fiber does, and then how long that was. */
export const makeMeasure = (
  gauge: MetricKey.MetricKey.Gauge<number>,
  timer: ReturnType<typeof timerKey>,
  tags: Tags
): (fiber: Fiber.RuntimeFiber<unknown, unknown>, count: number) => void => {
  const inFlight = tagged(gauge, tags)
  const time = timed(timer, tags)
  return (fiber, count) => {
    const labels = labelsOf(fiber)
    const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
    const startedAt = unsafeMonotonicMillis(clock)
    inFlight.unsafeModify(count, labels)
    fiber.addObserver(() => {
      inFlight.unsafeModify(-count, labels)
      const took = unsafeMonotonicMillis(clock) - startedAt
      for (let unit = 0; unit < count; unit++) time.unsafeUpdate(took, labels)
    })
  }
}
