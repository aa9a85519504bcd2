import * as Headers from "@effect/platform/Headers"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import { Effect, type Exit, type Fiber, type FiberRefs, Option, type Tracer } from "effect"
import { refsOf } from "../../../core/internal/effectInternals.js"
import { withSpan } from "../../../core/internal/fiberState.js"
import { lazySpans } from "../../../core/internal/lazySpan.js"
import type { KafkaHeaders, KafkaRecord } from "../contract.js"
import type { Consumer } from "./consumerState.js"
import type { Delivery } from "./generation.js"

const text = (value: KafkaHeaders[string]): string | undefined =>
  value === undefined || typeof value === "string"
    ? value
    : value instanceof Uint8Array
    ? Buffer.from(value).toString()
    : text(value[0])

const contextNames = ["traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled"]

/** The span of the producer, from the headers of W3C trace context or B3. */
const producerSpan = ({ headers }: KafkaRecord): Option.Option<Tracer.ExternalSpan> => {
  const found = contextNames.flatMap((name) => {
    const value = text(headers[name])
    return value === undefined ? [] : [[name, value] as const]
  })
  return found.length === 0 ? Option.none() : HttpTraceContext.fromHeaders(Headers.fromInput(found))
}

const nameOf = ({ batchSize, name }: Consumer) => batchSize === undefined ? `${name}.process` : `${name}.processBatch`

/** None for a batch, whose records may have been sent by many. */
const parentOf = ({ batchSize }: Consumer, { record }: Delivery) =>
  batchSize === undefined ? producerSpan(record) : Option.none()

const attributesOf = ({ batchSize, groupId }: Consumer, { attempt, record, rest }: Delivery) => ({
  "messaging.system": "kafka",
  "messaging.operation.type": "process",
  "messaging.consumer.group.name": groupId,
  "messaging.destination.name": record.topic,
  "messaging.destination.partition.id": String(record.partition),
  "messaging.kafka.offset": Number(record.offset),
  ...batchSize === undefined ? {} : { "messaging.batch.message_count": rest.length + 1 },
  attempt
})

/**
 * Starts the span of an attempt, a child of the span that sent the record, and returns the refs of the fiber with it, and what
 * ends it. The span is made when something reads it.
 */
export type StartRecordSpan = (delivery: Delivery, at: bigint) => {
  readonly refs: FiberRefs.FiberRefs
  readonly end: (exit: Exit.Exit<unknown, unknown>, at: bigint) => void
}

/** For the attempts that this fiber runs one after the other. Undefined unless its tracer is Effect's own. */
export const recordSpans = (
  consumer: Consumer,
  fiber: Fiber.RuntimeFiber<unknown, unknown>
): StartRecordSpan | undefined => {
  const spans = lazySpans(fiber)
  if (spans === undefined) return undefined
  const refs = refsOf(fiber)
  const name = nameOf(consumer)
  return (delivery, at) => {
    const span = spans.start({
      name,
      kind: "consumer",
      parent: () => parentOf(consumer, delivery),
      attributes: () => attributesOf(consumer, delivery)
    }, at)
    return {
      refs: withSpan(refs, fiber.id(), span),
      end: (exit, at) => spans.end(span, exit, at)
    }
  }
}

/** Runs one attempt in such a span under another tracer, which may look at every span. */
export const inRecordSpan = (consumer: Consumer, delivery: Delivery, run: Effect.Effect<unknown, unknown>) => {
  const parent = parentOf(consumer, delivery)
  return Effect.withSpan(run, nameOf(consumer), {
    kind: "consumer",
    captureStackTrace: false,
    ...(Option.isSome(parent) ? { parent: parent.value } : { root: true }),
    attributes: attributesOf(consumer, delivery)
  })
}
