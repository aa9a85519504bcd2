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
import { Array, type Context, Data, Duration, Effect, Layer, Schedule, type Scope } from "effect"
import { countOption, durationOption } from "../../core/internal/options.js"
import type { BudgetError } from "../../core/ShutdownConfig.js"
import { KafkaClient, type KafkaError } from "./contract.js"
import type {
  BatchOptions,
  CommonOptions,
  Options,
  RecordContext,
  TransactionContext
} from "./internal/consumerOptions.js"
import { type Delivery, together } from "./internal/generation.js"
import { type Ledger, makeLedger } from "./internal/ledger.js"
import { makeConsumer, type Settings } from "./internal/makeConsumer.js"

export { BatchError, type RecordErrorOf } from "./contract.js"
export type { BatchOptions, CommonOptions, Options, RecordContext, TransactionContext }

/**
 * The defaults of the options, each with its reason there.
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
  batchSize: 500,
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
  options: Options<E, R> | BatchOptions<E, R>
): Layer.Layer<never, KafkaError | BudgetError, KafkaClient | R> =>
  Layer.scopedDiscard(Effect.flatMap(
    Effect.context<R>(),
    (services) => start(options, services, undefined)
  ))

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
  options: Options<E, R, TransactionContext> | BatchOptions<E, R, TransactionContext>
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

/** Runs records in the context of the consumer, which has what they need. */
const processOf = <E, R, C extends RecordContext>(
  options: Options<E, R, C> | BatchOptions<E, R, C>
): Settings<never>["process"] => {
  const process = (delivery: Delivery, context: C): Effect.Effect<unknown, E, R> =>
    options.processBatch === undefined
      ? options.process(delivery.record, context)
      : options.processBatch(Array.map(together(delivery), ({ record }) => record), context)
  return process as unknown as Settings<never>["process"]
}

const start = <E, R, C extends RecordContext, E2, R2>(
  options: Options<E, R, C> | BatchOptions<E, R, C>,
  services: Context.Context<R>,
  makeLedger: Effect.Effect<Ledger, E2, R2> | undefined
): Effect.Effect<void, KafkaError | BudgetError | E2, KafkaClient | Scope.Scope | R2> =>
  Effect.gen(function*() {
    const { groupId, name = groupId } = options
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
      order: options.processBatch === undefined ? options.order ?? defaults.order : "partition",
      batchSize: options.processBatch === undefined ? undefined : countOption(
        name,
        "batchSize",
        options.batchSize ?? defaults.batchSize,
        { least: 1, unlimited: true }
      ),
      fromBeginning: options.fromBeginning ?? defaults.fromBeginning,
      retry: options.retry ?? defaults.retry,
      isPermanent: (failure) => options.permanent?.(failure as never) ?? false,
      deadLetterTopic: options.deadLetterTopic,
      maxUncommitted: count("maxUncommitted"),
      commitCount: count("commitCount"),
      commitInterval: duration("commitInterval"),
      revocationTimeout,
      sessionTimeout,
      quiesceOn: options.quiesceOn ?? "LameDuck",
      makeLedger: makeLedger === undefined ? undefined : Effect.provide(makeLedger, yield* Effect.context<R2>()),
      services: services as Context.Context<never>,
      process: processOf(options)
    })
  })
