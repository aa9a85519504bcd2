import type { SqlError } from "@effect/sql"
import type { Array, Duration, Effect, Option, Schedule } from "effect"
import type { Steps, Timeouts } from "../../../core/Drain.js"
import type { KafkaError, KafkaRecord, RecordErrorOf } from "../contract.js"

/**
 * What a record's process sees beside the record.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordContext {
  /** 1 for the first attempt of this member. Attempts are not kept across members. */
  readonly attempt: number
}

/**
 * The settings of any consumer. `groupId`, `topics` and `concurrency` have no defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommonOptions extends Timeouts {
  /** The name of the consumer in logs, spans, metrics and the report. The `groupId` by default. */
  readonly name?: string | undefined
  /** The name of the group, whose members share the partitions. */
  readonly groupId: string
  /** The topics. They must exist, unless the brokers create topics by themselves. */
  readonly topics: ReadonlyArray<string>
  /** The number of records, or of batches, that are processed at a time, over all partitions; at least 1. */
  readonly concurrency: number
  /**
   * Where a group without committed offsets begins: with the oldest records, or with those sent from now on. `true` by
   * default, because records that were sent before the first start are not lost then.
   */
  readonly fromBeginning?: boolean | undefined
  /**
   * When a failed record runs again, and when it becomes a dead letter. By default five attempts, about 1, 2, 4 and 8
   * seconds apart. While it waits, it has no slot, and holds up only the records of its key or partition.
   */
  readonly retry?: Schedule.Schedule<unknown, void> | undefined
  /**
   * The topic to which a record goes when its attempts are spent, with headers that say where it was and why; then its
   * offset is committable. None by default: then such a record ends the service, because nothing may be skipped.
   */
  readonly deadLetterTopic?: string | undefined
  /**
   * A partition is paused while so many of its fetched records cannot be committed, and goes on at half. It bounds the
   * memory, whatever the lag, and what is delivered again after a crash. One fetch may exceed it. 1,000 by default.
   */
  readonly maxUncommitted?: number | undefined
  /** How long finished records wait for their commit, to share a request. 1 second by default. */
  readonly commitInterval?: Duration.DurationInput | undefined
  /** After so many finished records offsets are committed at once. 500 by default. */
  readonly commitCount?: number | undefined
  /**
   * How long records in flight may go on when a rebalance is about to take their partitions. Then they are interrupted, and
   * what is finished is committed. All members of the group wait for it. 10 seconds by default; at most half of
   * `sessionTimeout`.
   */
  readonly revocationTimeout?: Duration.DurationInput | undefined
  /**
   * How long the group waits for a sign of life before it gives the partitions to others. 30 seconds by default. A member
   * that could give none for so long interrupts its records and commits nothing.
   */
  readonly sessionTimeout?: Duration.DurationInput | undefined
  /**
   * When the consumer stops fetching: when the shutdown begins (`"LameDuck"`), or when everything that depends on it was
   * released (`"Release"`). `"LameDuck"` by default. The group is left after the drain in either case.
   */
  readonly quiesceOn?: Steps<unknown>["quiesceOn"]
}

/**
 * The settings of a consumer that processes one record at a time. `process` has no default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E, R, C extends RecordContext = RecordContext> extends CommonOptions {
  /**
   * Processes one record, in a span of its own that is a child of the producer's. A success makes its offset
   * committable. A record may be processed again, so this must bear repetition.
   */
  readonly process: (record: KafkaRecord, context: C) => Effect.Effect<unknown, E, R>
  /**
   * Which records run one after the other: those of a partition, or those of a key. `"partition"` by default, the order
   * that Kafka keeps. With `"key"`, records of different keys run at the same time and a failing one holds up only its key;
   * records without a key have no order.
   */
  readonly order?: "partition" | "key" | undefined
  /** Failures that must not be retried. None by default. */
  readonly permanent?: ((error: NoInfer<E>) => boolean) | undefined
  /** A consumer has either `process` or `processBatch`. */
  readonly processBatch?: undefined
}

/**
 * The settings of a consumer that processes the records of a partition in batches. `processBatch` has no default.
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchOptions<E, R, C extends RecordContext = RecordContext> extends CommonOptions {
  /**
   * Processes records of one partition, in the order of their offsets, in one span. Of a partition one batch runs at a time. A success
   * makes the offset behind the batch committable. A batch may be processed again, so this must bear repetition.
   *
   * After a failure each record of the batch runs again, alone and in order, with the attempts of `retry` and then as a dead letter; a
   * record that had not failed loses no attempt by that. A `BatchError` says at which record it failed, so that only that one runs alone.
   */
  readonly processBatch: (
    records: Array.NonEmptyReadonlyArray<KafkaRecord>,
    context: C
  ) => Effect.Effect<unknown, E, R>
  /**
   * The records of a batch, at most: those that were fetched by the time that it starts, so that no record waits for a batch to fill. 500 by
   * default, half of `maxUncommitted`, so that the next batch is fetched meanwhile.
   */
  readonly batchSize?: number | undefined
  /** Failures of a record that must not be retried. None by default. */
  readonly permanent?: ((error: RecordErrorOf<NoInfer<E>>) => boolean) | undefined
  /** A consumer has either `process` or `processBatch`. */
  readonly process?: undefined
}

/**
 * What a record's process sees beside the record, with `layerTransactional`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionContext extends RecordContext {
  /**
   * Runs the writes, and marks the record, or all records of the batch, as done, in one transaction of the `SqlClient` of the layer. None:
   * an earlier attempt had committed it, and the writes did not run. Fails with a `KafkaError` whose reason is `MembershipLost` when
   * another member has claimed the partition; then nothing is written, and the process is interrupted.
   */
  readonly transact: <A, E, R>(
    writes: Effect.Effect<A, E, R>
  ) => Effect.Effect<Option.Option<A>, E | SqlError.SqlError | KafkaError, R>
}
