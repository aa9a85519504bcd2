/** What the consumer and the producer ask of a Kafka client: the Tag that a driver stands behind. */
import { Context, Data, type Effect, Schema, type Scope } from "effect"

/**
 * A partition of a topic.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicPartition {
  /** The name of the topic. */
  readonly topic: string
  /** The number of the partition, from 0. */
  readonly partition: number
}

/**
 * The offset from which a partition is to be read.
 *
 * @since 0.1.0
 * @category models
 */
export interface TopicOffset extends TopicPartition {
  /** The offset of the next record. */
  readonly offset: bigint
}

/**
 * The headers of a record. A header that occurs several times has an array.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaHeaders {
  readonly [name: string]: Uint8Array | string | ReadonlyArray<Uint8Array | string> | undefined
}

/**
 * A record as a broker has it.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaRecord extends TopicOffset {
  /** Records of one key are in one partition, in order. `null`: the record has no key. */
  readonly key: Uint8Array | null
  /** The bytes of the record. `null`: a tombstone, which deletes the key in a compacted topic. */
  readonly value: Uint8Array | null
  /** Milliseconds since 1970. */
  readonly timestamp: number
  /** The headers of the record. */
  readonly headers: KafkaHeaders
}

/**
 * A record to be sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface KafkaMessage {
  /** Decides the partition, unless `partition` does. None by default: partitions are taken in turn. */
  readonly key?: Uint8Array | string | null | undefined
  /** The bytes of the record, or their text. */
  readonly value: Uint8Array | string | null
  /** The headers of the record. None by default. */
  readonly headers?: KafkaHeaders | undefined
  /** The partition. By default the driver's partitioner decides by the key. */
  readonly partition?: number | undefined
}

/**
 * An operation of the client failed.
 *
 * - `MembershipLost`: the group goes on without this member, which must write nothing any more;
 * - `Rebalancing`: the group is about to share out its partitions anew, and the broker takes no offsets meanwhile;
 * - `Unavailable`: everything else, such as a broker that is away or refuses.
 *
 * @since 0.1.0
 * @category errors
 */
export class KafkaError extends Schema.TaggedError<KafkaError>()("KafkaError", {
  operation: Schema.Literal("connect", "commit", "send", "leave"),
  reason: Schema.Literal("MembershipLost", "Rebalancing", "Unavailable"),
  cause: Schema.Defect
}) {
  override get message() {
    return `Kafka: ${this.operation} failed: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/**
 * The failure of a `processBatch` at one record of the batch. Without a database the records before it are done; with
 * `layerTransactional` they run again, because nothing of the batch was committed. The record itself runs again alone by
 * `retry`, and then those behind it do in batches. An offset that is not in the batch is as any other failure: each record runs again alone.
 *
 * @since 0.1.0
 * @category errors
 */
export class BatchError<E> extends Data.TaggedError("BatchError")<{
  /** The offset of the record. */
  readonly offset: bigint
  /** Why: what `process` would have failed with. `permanent` is asked about it. */
  readonly error: E
}> {
  override get message() {
    return `the record at offset ${this.offset} of the batch failed`
  }
}

/**
 * The error of a single record, for `permanent`: the one in a `BatchError`, or the failure of the whole batch.
 *
 * @since 0.1.0
 * @category models
 */
export type RecordErrorOf<E> = E extends BatchError<infer F> ? F : E

/**
 * Records of one partition that were fetched together.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch extends TopicPartition {
  /** In the order of their offsets. */
  readonly records: ReadonlyArray<KafkaRecord>
  /** The offset after the batch. Behind the last record there may be offsets without records. */
  readonly end: bigint
  /** The offset after the last record of the partition. */
  readonly highWatermark: bigint
  /** Moves the position of the member behind the batch. A batch that is not accepted is fetched again. */
  readonly accept: () => void
}

/**
 * What a member of a consumer group reports, in order.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemberEvents {
  /**
   * The member is about to join its group, the first time or again. The member waits for it: until it completes, the
   * offsets of the partitions that it had may be committed, and afterwards not.
   */
  readonly joining: Effect.Effect<void>
  /** The member has joined, and has these partitions. Completes without waiting. */
  readonly joined: (assigned: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** The group has heard of the member. Completes without waiting. */
  readonly heartbeat: Effect.Effect<void>
  /** A batch arrived. No other batch of the partition is fetched until it completes, so it must not wait long. */
  readonly fetched: (batch: Batch) => Effect.Effect<void>
  /** The member has failed. With `restarts` it joins again by itself, otherwise it has ended. */
  readonly failed: (error: unknown, restarts: boolean) => Effect.Effect<void>
}

/**
 * A member of a consumer group. It keeps the group informed that it lives, whatever its records do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Member {
  /** Joins the group, and goes on until `leave`. Returns at once. */
  readonly start: (events: MemberEvents) => Effect.Effect<unknown>
  /** Fetches no more records of these partitions. Responses that are on their way are dropped. */
  readonly pause: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** Fetches records of these partitions again. */
  readonly resume: (partitions: ReadonlyArray<TopicPartition>) => Effect.Effect<void>
  /** Goes on at these offsets, not at those that are committed. */
  readonly seek: (offsets: ReadonlyArray<TopicOffset>) => Effect.Effect<void>
  /** Commits offsets for the membership of this moment: never for a later one, and never again after a failure. */
  readonly commit: (offsets: ReadonlyArray<TopicOffset>) => Effect.Effect<void, KafkaError>
  /** Leaves the group and disconnects. */
  readonly leave: Effect.Effect<void, KafkaError>
}

/**
 * The settings of a member.
 *
 * @since 0.1.0
 * @category models
 */
export interface MemberSettings {
  /** The name of the group. */
  readonly groupId: string
  /** The topics that the group reads. */
  readonly topics: ReadonlyArray<string>
  /** Where a group without committed offsets begins: with the oldest record, or with those sent from now on. */
  readonly fromBeginning: boolean
  /** How long the group waits for a sign of life, in milliseconds. */
  readonly sessionTimeout: number
}

/**
 * Sends records. `send` succeeds when all in-sync replicas have them, and fails when it is not known whether they do.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProducerConnection {
  /** Sends records to a topic. */
  readonly send: (topic: string, messages: ReadonlyArray<KafkaMessage>) => Effect.Effect<void, KafkaError>
}

/**
 * The settings of a producer.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProducerSettings {
  /** Whether the broker drops what a retry of the driver sends a second time. */
  readonly idempotent: boolean
}

/**
 * The service behind the `KafkaClient` tag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Connects a member of a consumer group, which has not joined yet. The scope does not leave the group: `leave` does. */
  readonly member: (settings: MemberSettings) => Effect.Effect<Member, KafkaError>
  /** Connects a producer until the scope closes. */
  readonly producer: (settings: ProducerSettings) => Effect.Effect<ProducerConnection, KafkaError, Scope.Scope>
}

/**
 * The Kafka client behind consumers and producers.
 *
 * @since 0.1.0
 * @category tags
 */
export class KafkaClient extends Context.Tag("lastcall/KafkaClient")<KafkaClient, Service>() {}
