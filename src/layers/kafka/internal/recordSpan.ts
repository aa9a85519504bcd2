import * as Headers from "@effect/platform/Headers"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import { type Context, Effect, type Exit, type Fiber, FiberRef, FiberRefs, Option, type Tracer } from "effect"
import { replaceRefs } from "../../../core/internal/effectInternals.js"
import { lazyRootSpan } from "../../../core/internal/lazySpan.js"
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
 * Starts the span of one attempt, a child of the span that sent the record, and returns what ends it. The span is made when
 * something reads it. Undefined unless the tracer is Effect's own. The fiber has other refs than these until they are replaced.
 */
export const startRecordSpan = (
  consumer: Consumer,
  delivery: Delivery,
  fiber: Fiber.RuntimeFiber<unknown, unknown>,
  refs: FiberRefs.FiberRefs
): ((exit: Exit.Exit<unknown, unknown>) => void) | undefined => {
  const span = lazyRootSpan(fiber, fiber.currentContext as Context.Context<never>, {
    name: nameOf(consumer),
    kind: "consumer",
    parent: () => parentOf(consumer, delivery),
    attributes: () => attributesOf(consumer, delivery)
  })
  if (span === undefined) return undefined
  const context = { fiberId: fiber.id(), fiberRef: FiberRef.currentContext, value: span.context }
  replaceRefs(fiber, FiberRefs.updateAs(refs, context))
  return span.end
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
