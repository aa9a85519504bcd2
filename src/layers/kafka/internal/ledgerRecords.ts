import { Array, Cause, Data, Effect } from "effect"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import { KafkaError } from "../contract.js"
import type { Consumer } from "./consumerState.js"
import { type Delivery, type Generation, together } from "./generation.js"
import type { Transact } from "./ledger.js"

/** So many processes may end at a record before it becomes a dead letter. */
const mostDeaths = 3

/** Why a record that ends its process becomes a dead letter. */
export class ProcessEnded extends Data.TaggedError("ProcessEnded")<{ readonly message: string }> {}

const recordsOf = (delivery: Delivery) => Array.map(together(delivery), ({ record }) => record)

const lostTo = (consumer: Consumer, generation: Generation, { record: { partition, topic } }: Delivery) =>
  consumer.lose(generation, `another member has claimed ${topic}/${partition}`)

/** What the process of a record may do in the ledger. A record of a claim that has ended loses the membership. */
export const transactOf = (consumer: Consumer, generation: Generation, delivery: Delivery): Transact | undefined => {
  const { ledger } = consumer
  const { claim } = delivery.lane.partition
  if (ledger === undefined || claim === undefined) return undefined
  const transact = ledger.transact(recordsOf(delivery), claim)
  return (writes) =>
    Effect.tapError(transact(writes), (error) =>
      error instanceof KafkaError && error.reason === "MembershipLost"
        ? lostTo(consumer, generation, delivery)
        : Effect.void)
}

/** How long it may take to take back the attempts at records that are handed back. */
const handBackTimeout = "1 second"

/**
 * Counts the attempt in the ledger before it runs. A record at which a process has ended runs while no other such record of
 * this member does, so that the count is of the one that ends processes, and after three processes it fails. Its attempt that fails is
 * taken back: the process may end at another record while it waits for the next one.
 */
export const counted = (
  consumer: Consumer,
  generation: Generation,
  delivery: Delivery,
  run: Effect.Effect<unknown, unknown>
): Effect.Effect<unknown, unknown> => {
  const { ledger, suspects } = consumer
  const { begun, lane: { partition: { claim } }, record } = delivery
  if (ledger === undefined || claim === undefined) return run
  const deaths = claim.deaths.get(record.offset) ?? 0
  if (deaths >= mostDeaths) {
    return new ProcessEnded({ message: `${deaths} processes ended while they processed the record` })
  }
  const begin = begun ? Effect.succeed(true) : ledger.begin(recordsOf(delivery), claim).pipe(
    Effect.tapError((error) =>
      Effect.logWarning(`${consumer.name}: an attempt could not be counted, and waits for the database`, error)
    ),
    Effect.retry(backoff("5 seconds")),
    Effect.tap(() =>
      Effect.sync(() => {
        for (const each of together(delivery)) each.begun = true
      })
    )
  )
  const counted = Effect.flatMap(
    begin,
    (holds) => holds ? run : Effect.zipRight(lostTo(consumer, generation, delivery), Effect.interrupt)
  )
  if (deaths === 0) return counted
  const takeBack = ledger.handBack(record, claim, record.offset).pipe(
    Effect.zipRight(Effect.sync(() => {
      delivery.begun = false
    })),
    Effect.ignore,
    bounded({ within: handBackTimeout })
  )
  return suspects.withPermits(1)(
    Effect.tapErrorCause(counted, (cause) => Cause.isInterrupted(cause) ? Effect.void : takeBack)
  )
}

/** Records that were begun and not finished did not end the process: they are handed back. */
export const uncount = (consumer: Consumer, generation: Generation): Effect.Effect<void> => {
  const { ledger } = consumer
  if (ledger === undefined) return Effect.void
  return Effect.forEach(
    generation.partitions.values(),
    (partition) => partition.claim === undefined ? Effect.void : ledger.handBack(partition, partition.claim),
    { discard: true }
  ).pipe(Effect.ignore, bounded({ within: handBackTimeout }), Effect.asVoid)
}
