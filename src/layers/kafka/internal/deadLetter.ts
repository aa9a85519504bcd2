import { type Cause, Effect } from "effect"
import { backoff } from "../../../core/internal/backoff.js"
import { namedCauseMessage } from "../../../core/internal/errorMessage.js"
import type { KafkaMessage, ProducerConnection } from "../contract.js"
import type { Delivery } from "./generation.js"

/** Headers are for people: an error may hold a whole page of a server. */
const mostCharacters = 2_000

/** A record with headers that say where it was, and why it is here. */
const deadLetterOf = (groupId: string, { attempt, record }: Delivery, cause: Cause.Cause<unknown>): KafkaMessage => ({
  key: record.key,
  value: record.value,
  headers: {
    ...record.headers,
    "dead-letter-topic": record.topic,
    "dead-letter-partition": String(record.partition),
    "dead-letter-offset": String(record.offset),
    "dead-letter-timestamp": String(record.timestamp),
    "dead-letter-group": groupId,
    "dead-letter-attempts": String(attempt),
    "dead-letter-error": namedCauseMessage(cause).slice(0, mostCharacters)
  }
})

/** Sends dead letters. A topic that cannot be reached is tried again without end: the record must not be lost. */
export const makeDeadLetter = (
  { groupId, name, producer, topic }: {
    readonly name: string
    readonly groupId: string
    readonly topic: string
    readonly producer: ProducerConnection
  }
) =>
(delivery: Delivery, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  producer.send(topic, [deadLetterOf(groupId, delivery, cause)]).pipe(
    Effect.tapError((error) =>
      Effect.logWarning(`${name}: a dead letter could not be sent, and is tried again`, error)
    ),
    Effect.retry(backoff("5 seconds")),
    Effect.orDie
  )
