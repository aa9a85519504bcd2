/**
 * A consumer group whose records are finished, and whose offsets are committed, before the group is left.
 *
 * @example
 * ```ts
 * import { Config, Effect, Layer } from "effect"
 * import { KafkaClient, KafkaConsumer } from "lastcall"
 *
 * const Payments = KafkaConsumer.layer({
 *   groupId: "payments",
 *   topics: ["orders"],
 *   concurrency: 10,
 *   order: "key",
 *   deadLetterTopic: "orders-dead",
 *   drainTimeout: "10 seconds",
 *   process: ({ value }) => Effect.log(`paying ${value}`)
 * })
 *
 * export const Live = Payments.pipe(
 *   Layer.provide(KafkaClient.layerConfig({ brokers: Config.array(Config.string(), "KAFKA_BROKERS") }))
 * )
 * ```
 *
 * @module
 * @since 0.1.0
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { type Context, Data, Duration, Effect, Layer, type Option, Schedule, type Scope } from "effect"
import type { Steps, Timeouts } from "../../core/Drain.js"
import { countOption, durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { KafkaClient, type KafkaError, type KafkaRecord } from "./contract.js"
import { type Ledger, makeLedger } from "./internal/ledger.js"
import { makeConsumer, type Settings } from "./internal/makeConsumer.js"

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
 * The settings of a consumer. `groupId`, `topics`, `concurrency` and `process` have no defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<E, R, C extends RecordContext = RecordContext> extends Timeouts {
  /** The name of the consumer in logs, spans, metrics and the report. The `groupId` by default. */
  readonly name?: string | undefined
  /** The name of the group, whose members share the partitions. */
  readonly groupId: string
  /** The topics. They must exist, unless the brokers create topics by themselves. */
  readonly topics: ReadonlyArray<string>
  /** The number of records that are processed at a time, over all partitions; at least 1. */
  readonly concurrency: number
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
  /** Failures that must not be retried. None by default. */
  readonly permanent?: ((error: NoInfer<E>) => boolean) | undefined
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
 * The defaults of `Options`, each with its reason there.
 *
 * @since 0.1.0
 * @category defaults
 */
export const defaults = {
  order: "partition" as const,
  fromBeginning: true,
  retry: Schedule.exponential("1 second").pipe(
    Schedule.jittered,
    Schedule.intersect(Schedule.recurs(4))
  ) as Schedule.Schedule<unknown, void>,
  maxUncommitted: 1_000,
  commitInterval: Duration.seconds(1),
  commitCount: 500,
  revocationTimeout: Duration.seconds(10),
  sessionTimeout: Duration.seconds(30)
}

class RevocationTooLong extends Data.TaggedError("RevocationTooLong")<{ readonly message: string }> {}

/**
 * Runs a member of a consumer group.
 *
 * The offset that is committed is that of the first record of a partition that is not finished, in whatever order
 * records finish. In a drain, fetching stops at once; records in flight finish within `drainTimeout`, the others are interrupted
 * and count as handed back; offsets are committed; then the group is left. Until then the member gives signs of life, so
 * that no other member is given its partitions. Records between two attempts are handed back at once.
 *
 * **Errors.** `KafkaError` when the brokers cannot be reached or a topic does not exist. `BudgetError` when the budget of
 * `launch` can never hold a timeout. Options that make no sense are defects. Failures that the driver gives up end the
 * service; others show in `/readyz` as `WaitingForKafka`.
 *
 * **Promised:** no offset is committed above a record that is not finished; a record is finished, becomes a dead letter, or
 * is delivered again. A member that has lost a partition commits nothing for it. **Not promised:** that a record is processed
 * once. It is delivered again after a crash, and when it had finished above an interrupted one of its partition.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <E, R>(
  options: Options<E, R>
): Layer.Layer<never, KafkaError | BudgetError, KafkaClient | R> =>
  Layer.scopedDiscard(Effect.flatMap(
    Effect.context<R>(),
    (services) => start(options, services, undefined)
  ))

/**
 * What a record's process sees beside the record, with `layerTransactional`.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionContext extends RecordContext {
  /**
   * Runs the writes, and marks the record as done, in one transaction of the `SqlClient` of the layer. None: an earlier
   * attempt had committed it, and the writes did not run. Fails with a `KafkaError` whose reason is `MembershipLost` when
   * another member has claimed the partition; then nothing is written, and the process is interrupted.
   */
  readonly transact: <A, E, R>(
    writes: Effect.Effect<A, E, R>
  ) => Effect.Effect<Option.Option<A>, E | SqlError.SqlError | KafkaError, R>
}

/**
 * `layer` with the positions of the group in PostgreSQL, so that the writes of a record happen exactly once.
 *
 * A member claims each partition in the database when the group gives it to it, and goes on where the database says. The
 * claim waits for transactions of the member before. Whatever that member writes later fails, also when it was frozen
 * and does not know yet that it has lost the partition. Offsets are committed in Kafka as well, for tools that show the lag.
 *
 * A transaction that is idle for `sessionTimeout` is ended by the server, so that a frozen member does not hold up the next one.
 *
 * Each attempt is counted in the database before it runs. A record whose process ended (killed, out of memory) runs alone among
 * such records, and is a dead letter once three processes have ended at it. A drain and a rebalance do not count.
 *
 * **Errors.** Those of `layer`, and `SqlError` when the tables `lastcall_kafka_partitions` and `lastcall_kafka_records` cannot
 * be made. While the database is away, records wait for it.
 *
 * **Promised:** what `transact` writes is committed once for each record, whatever dies or is frozen. **Not promised:** that a
 * process runs once, so effects outside of `transact` may repeat; and no record without `transact` is written once.
 *
 * @example
 * ```ts
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 * import { KafkaConsumer } from "lastcall"
 *
 * const Payments = KafkaConsumer.layerTransactional({
 *   groupId: "payments",
 *   topics: ["orders"],
 *   concurrency: 10,
 *   order: "key",
 *   process: ({ value }, { transact }) =>
 *     Effect.flatMap(SqlClient.SqlClient, (sql) => transact(sql`INSERT INTO payments (document) VALUES (${String(value)})`))
 * })
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTransactional = <E, R>(
  options: Options<E, R, TransactionContext>
): Layer.Layer<
  never,
  KafkaError | BudgetError | SqlError.SqlError,
  KafkaClient | SqlClient.SqlClient | Exclude<R, SqlClient.SqlClient>
> =>
  Layer.scopedDiscard(Effect.flatMap(
    Effect.context<R | SqlClient.SqlClient>(),
    (services) =>
      start(
        options,
        services,
        makeLedger(options.groupId, Duration.decode(options.sessionTimeout ?? defaults.sessionTimeout))
      )
  )) as Layer.Layer<
    never,
    KafkaError | BudgetError | SqlError.SqlError,
    KafkaClient | SqlClient.SqlClient | Exclude<R, SqlClient.SqlClient>
  >

const start = <E, R, C extends RecordContext, E2, R2>(
  options: Options<E, R, C>,
  services: Context.Context<R>,
  makeLedger: Effect.Effect<Ledger, E2, R2> | undefined
): Effect.Effect<void, KafkaError | BudgetError | E2, KafkaClient | Scope.Scope | R2> =>
  Effect.gen(function*() {
    const { groupId, name = groupId, permanent, process } = options
    const duration = (option: "commitInterval" | "revocationTimeout" | "sessionTimeout") =>
      durationOption(name, option, options[option] ?? defaults[option], { positive: option === "sessionTimeout" })
    const count = (option: "maxUncommitted" | "commitCount") =>
      countOption(name, option, options[option] ?? defaults[option], { least: 1, unlimited: true })
    const revocationTimeout = duration("revocationTimeout")
    const sessionTimeout = duration("sessionTimeout")
    if (Duration.greaterThan(Duration.times(revocationTimeout, 2), sessionTimeout)) {
      throw new RevocationTooLong({
        message: `${name}: revocationTimeout is ${Duration.format(revocationTimeout)}, and must be at most half of ` +
          `sessionTimeout, ${Duration.format(sessionTimeout)}: no sign of life is sent meanwhile`
      })
    }
    yield* makeConsumer(yield* KafkaClient, {
      name,
      groupId,
      topics: options.topics,
      drainTimeout: options.drainTimeout,
      releaseTimeout: options.releaseTimeout,
      concurrency: countOption(name, "concurrency", options.concurrency, { least: 1 }),
      order: options.order ?? defaults.order,
      fromBeginning: options.fromBeginning ?? defaults.fromBeginning,
      retry: options.retry ?? defaults.retry,
      isPermanent: (failure) => permanent?.(failure as E) ?? false,
      deadLetterTopic: options.deadLetterTopic,
      maxUncommitted: count("maxUncommitted"),
      commitCount: count("commitCount"),
      commitInterval: duration("commitInterval"),
      revocationTimeout,
      sessionTimeout,
      quiesceOn: options.quiesceOn ?? "LameDuck",
      makeLedger: makeLedger === undefined ? undefined : Effect.provide(makeLedger, yield* Effect.context<R2>()),
      services: services as Context.Context<never>,
      process: process as unknown as Settings<E2>["process"]
    })
  })
