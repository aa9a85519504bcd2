import type { SqlClient, SqlError } from "@effect/sql"
import { type Array, Duration, Effect, Option } from "effect"
import { executeOwn, SqlClientTag } from "../../database/contract.js"
import { KafkaError, type KafkaRecord, type TopicOffset, type TopicPartition } from "../contract.js"

const partitions = "lastcall_kafka_partitions"
const records = "lastcall_kafka_records"

/** That a partition belongs to this member: the next claim ends it. */
export interface Claim {
  readonly epoch: number
  /** Where the partition goes on. Undefined where the ledger has never had it: then where the group has committed. */
  readonly next: bigint | undefined
  /** The records from there on whose transactions are committed. */
  readonly done: ReadonlySet<bigint>
  /** How often a record was begun by members that neither finished it nor handed it back: their processes ended. */
  readonly deaths: ReadonlyMap<bigint, number>
}

/** Records of one partition. */
type Records = Array.NonEmptyReadonlyArray<KafkaRecord>

const offsetsOf = (batch: Records) => batch.map(({ offset }) => String(offset))

/** Commits writes with the end of one record, or of those of a batch. None: they were committed before. */
export type Transact = <A, E, R>(
  writes: Effect.Effect<A, E, R>
) => Effect.Effect<Option.Option<A>, E | SqlError.SqlError | KafkaError, R>

interface Claimed {
  readonly epoch: number
}

/**
 * Positions, finished records and attempts of a group, in the database. A claim waits for the transactions of the member
 * that had the partition, and whatever that member writes afterwards fails.
 */
export interface Ledger {
  readonly claim: (partition: TopicPartition) => Effect.Effect<Claim, SqlError.SqlError>
  /** Counts an attempt at records of one partition. False: the claim has ended. */
  readonly begin: (batch: Records, claim: Claimed) => Effect.Effect<boolean, SqlError.SqlError>
  readonly transact: (batch: Records, claim: Claimed) => Transact
  /** Moves the position of a partition. False: the claim has ended. */
  readonly advance: (offset: TopicOffset, claim: Claimed) => Effect.Effect<boolean, SqlError.SqlError>
  /**
   * Takes back the attempts at records of the partition that were begun and not finished, or at this one: they did not end the process.
   * Each attempt is taken back once.
   */
  readonly handBack: (
    partition: TopicPartition,
    claim: Claimed,
    offset?: bigint
  ) => Effect.Effect<unknown, SqlError.SqlError>
}

const ensureTables = (sql: SqlClient.SqlClient) =>
  sql.withTransaction(Effect.zipRight(
    executeOwn(sql, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [partitions]),
    executeOwn(
      sql,
      `CREATE TABLE IF NOT EXISTS ${partitions} (
         group_id text, topic text, partition int, epoch int NOT NULL, next_offset bigint,
         PRIMARY KEY (group_id, topic, partition));
       CREATE TABLE IF NOT EXISTS ${records} (
         group_id text, topic text, partition int, "offset" bigint, epoch int NOT NULL, attempts int NOT NULL,
         done boolean NOT NULL DEFAULT false, PRIMARY KEY (group_id, topic, partition, "offset"))`
    )
  ))

const where = "group_id = $1 AND topic = $2 AND partition = $3"
/** A shared lock on the claim until the end of the transaction: the next claim waits for it. */
const held = `held AS (SELECT epoch FROM ${partitions} WHERE ${where} AND epoch = $4 FOR SHARE)`
/** Records that were begun under a claim, or one of them. */
const begun = `${where} AND epoch = $4 AND NOT done AND "offset" = coalesce($5::bigint, "offset")`
/** For a statement of its own. It must survive this process, not the server. */
const inMemory = "quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))"

/**
 * The ledger of a group. It makes its tables where they are missing. A transaction that is idle for `sessionTimeout` ends: that
 * of a member that is frozen would hold up the claim of the next one.
 */
export const makeLedger = (
  groupId: string,
  sessionTimeout: Duration.Duration
): Effect.Effect<Ledger, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(
    SqlClientTag,
    (sql) => Effect.as(ensureTables(sql), make(sql, groupId, Duration.toMillis(sessionTimeout)))
  )

const make = (sql: SqlClient.SqlClient, groupId: string, mostIdle: number): Ledger => {
  const lost = (cause: string) =>
    new KafkaError({ operation: "commit", reason: "MembershipLost", cause: new Error(cause) })
  const run = (text: string, { partition, topic }: TopicPartition, ...values: ReadonlyArray<unknown>) =>
    executeOwn(sql, text, [groupId, topic, partition, ...values])

  const claim: Ledger["claim"] = (partition) =>
    Effect.gen(function*() {
      const [claimed] = yield* run(
        `INSERT INTO ${partitions} AS held (group_id, topic, partition, epoch) VALUES ($1, $2, $3, 1)
         ON CONFLICT (group_id, topic, partition) DO UPDATE SET epoch = held.epoch + 1 RETURNING epoch, next_offset`,
        partition
      )
      const rows = yield* run(`SELECT "offset", attempts, done FROM ${records} WHERE ${where}`, partition)
      const offsetOf = (row: { readonly [column: string]: unknown }) => BigInt(row["offset"] as string)
      const next = claimed!["next_offset"]
      return {
        epoch: Number(claimed!["epoch"]),
        next: next === null ? undefined : BigInt(next as string),
        done: new Set(rows.filter(({ done }) => done).map(offsetOf)),
        deaths: new Map(rows.filter(({ done }) => !done).map((row) => [offsetOf(row), Number(row["attempts"])]))
      }
    })

  const transact: Ledger["transact"] = (batch, { epoch }) => (writes) =>
    sql.withTransaction(Effect.gen(function*() {
      const [found] = yield* run(
        `WITH ${held}, ended AS MATERIALIZED (SELECT set_config('idle_in_transaction_session_timeout', $6, true)),
         marked AS (
           INSERT INTO ${records} AS record (group_id, topic, partition, "offset", epoch, attempts, done)
           SELECT $1, $2, $3, committed, epoch, 1, true FROM held, unnest($5::text[]::bigint[]) AS committed
           ON CONFLICT (group_id, topic, partition, "offset") DO UPDATE SET done = true WHERE NOT record.done RETURNING 1)
         SELECT EXISTS (SELECT FROM held) AS held, (SELECT count(*) FROM marked)::int AS marked FROM ended`,
        batch[0],
        epoch,
        offsetsOf(batch),
        String(mostIdle)
      )
      if (found!["held"] !== true) return yield* lost("another member has claimed the partition")
      const marked = Number(found!["marked"])
      if (marked === 0) return Option.none()
      // Rolled back: each of them runs alone then.
      if (marked < batch.length) return yield* Effect.dieMessage("some records of the batch were committed before")
      return Option.some(yield* writes)
    }))

  return {
    claim,
    transact,
    begin: (batch, { epoch }) =>
      Effect.map(
        run(
          `WITH ${inMemory}, ${held}
           INSERT INTO ${records} AS record (group_id, topic, partition, "offset", epoch, attempts)
           SELECT $1, $2, $3, begun, epoch, 1 FROM held, quick, unnest($5::text[]::bigint[]) AS begun
           ON CONFLICT (group_id, topic, partition, "offset") DO UPDATE SET attempts = record.attempts + 1, epoch = excluded.epoch
           RETURNING 1`,
          batch[0],
          epoch,
          offsetsOf(batch)
        ),
        ({ length }) => length > 0
      ),
    advance: (offset, { epoch }) =>
      Effect.map(
        run(
          `WITH moved AS (
             UPDATE ${partitions} SET next_offset = $5 WHERE ${where} AND epoch = $4 RETURNING 1),
           forgotten AS (
             DELETE FROM ${records} WHERE ${where} AND "offset" < $5 AND EXISTS (SELECT FROM moved))
           SELECT FROM moved`,
          offset,
          epoch,
          String(offset.offset)
        ),
        ({ length }) => length > 0
      ),
    handBack: (partition, { epoch }, offset) =>
      run(
        `WITH ended AS (DELETE FROM ${records} WHERE ${begun} AND attempts = 1)
         UPDATE ${records} SET attempts = attempts - 1, epoch = 0 WHERE ${begun} AND attempts > 1`,
        partition,
        epoch,
        offset === undefined ? null : String(offset)
      )
  }
}
