import { Effect, Option } from "effect"
import { bounded } from "../../../core/internal/bounded.js"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { KafkaError, type TopicOffset } from "../contract.js"
import type { Consumer } from "./consumerState.js"
import type { Generation, Partition } from "./generation.js"

/** So many more records can be committed: has the loop do so, soon or at once. */
export const requestCommit = (consumer: Consumer, generation: Generation, committable: number): void => {
  generation.uncommitted += committable
  consumer.uncommitted.unsafeOpen()
  if (generation.uncommitted >= consumer.commitCount) consumer.manyUncommitted.unsafeOpen()
}

/** The group has heard of the member. */
export const seen = (consumer: Consumer): Effect.Effect<void> =>
  Effect.map(monotonicMillis, (now) => {
    consumer.seenAt = now
  })

const commitError = (reason: KafkaError["reason"]) => (cause: unknown) =>
  new KafkaError({ operation: "commit", reason, cause })

/** Moves the position of a partition in the ledger, which is the one that counts. */
const advance = (
  { ledger }: Consumer,
  { claim, partition, topic }: Partition,
  offset: bigint
): Effect.Effect<void, KafkaError> =>
  ledger === undefined || claim === undefined ? Effect.void : ledger.advance({ topic, partition, offset }, claim).pipe(
    Effect.mapError(commitError("Unavailable")),
    Effect.flatMap((holds) =>
      holds
        ? Effect.void
        : commitError("MembershipLost")(new Error(`another member has claimed ${topic}/${partition}`))
    )
  )

/**
 * Commits for each partition the offset below which all records are done. Nothing after a generation has closed: another
 * member may have its partitions. With `always`, commits where a partition is also if that is committed already, which
 * shows whether the membership still holds.
 */
export const commit = (
  consumer: Consumer,
  generation: Generation,
  { always = false }: { readonly always?: boolean } = {}
): Effect.Effect<void, KafkaError> =>
  Effect.suspend(() => {
    if (generation.state === "Closed") return Effect.void
    const pending = Array.from(generation.partitions.values(), (partition) => {
      const { current, uncommitted } = partition.offsets
      const commit = partition.offsets.pending() ??
        (always && current !== undefined ? { offset: current, count: uncommitted } : undefined)
      return commit === undefined ? undefined : { partition, commit }
    }).filter((_) => _ !== undefined)
    if (pending.length === 0) return Effect.void
    const offsets: ReadonlyArray<TopicOffset> = pending.map((
      { commit: { offset }, partition: { partition, topic } }
    ) => ({
      topic,
      partition,
      offset
    }))
    const committed = Effect.sync(() => {
      for (const { commit, partition } of pending) {
        partition.offsets.commit(commit)
        generation.uncommitted -= commit.count
        consumer.metrics.lag(partition)
      }
    })
    const inKafka = Effect.zipLeft(consumer.member.commit(offsets), seen(consumer))
    const advanced = Effect.forEach(
      pending,
      ({ commit, partition }) => advance(consumer, partition, commit.offset),
      { discard: true }
    )
    // Where there is a ledger, its positions count, whether or not Kafka takes the offsets.
    return consumer.ledger === undefined
      ? Effect.zipRight(inKafka, committed)
      : advanced.pipe(Effect.zipRight(committed), Effect.zipRight(inKafka))
  }).pipe(consumer.committing.withPermits(1))

/** Commits by time and count, until it is interrupted. A failure that ends the membership is passed to `onLost`. */
export const commitLoop = (
  consumer: Consumer,
  onLost: (generation: Generation) => Effect.Effect<void>
): Effect.Effect<never> =>
  Effect.gen(function*() {
    yield* consumer.uncommitted.await
    yield* bounded({ within: consumer.commitInterval })(consumer.manyUncommitted.await)
    yield* Effect.zipRight(consumer.uncommitted.close, consumer.manyUncommitted.close)
    const { generation } = consumer
    const error = yield* Effect.option(Effect.flip(commit(consumer, generation)))
    if (Option.isNone(error)) return
    if (error.value.reason === "MembershipLost") return yield* onLost(generation)
    // During a rebalance its own commit follows.
    if (error.value.reason === "Unavailable") {
      yield* Effect.logWarning(`${consumer.name}: offsets could not be committed, and are tried again`, error.value)
      yield* consumer.uncommitted.open
    }
  }).pipe(Effect.forever)
