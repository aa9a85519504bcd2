import { Duration, Effect, Option } from "effect"
import { backoff } from "../../../core/internal/backoff.js"
import { bounded } from "../../../core/internal/bounded.js"
import { errorMessage } from "../../../core/internal/errorMessage.js"
import { monotonicMillis } from "../../../core/internal/monotonic.js"
import { Shutdown } from "../../../core/Shutdown.js"
import type { Batch, MemberEvents, TopicOffset, TopicPartition } from "../contract.js"
import { commit, requestCommit, seen } from "./commits.js"
import { type Consumer, isOpen } from "./consumerState.js"
import { addBatch, dropUnstarted, type Generation, makeGeneration, partitionKey, running } from "./generation.js"
import type { Claim } from "./ledger.js"
import { uncount } from "./ledgerRecords.js"
import { startRecords } from "./records.js"

/** How long a fetch waits for room before its partition is paused: a paused one takes longer to be fetched again. */
const holdTime = Duration.millis(200)

/** How long interrupted records have for their finalizers before the member joins without them. */
const interruptTimeout = Duration.seconds(2)

/** How long the last commit of a generation may take. */
const commitTimeout = Duration.seconds(3)

/** Starts no record any more. Those between two attempts are handed back. */
export const stopStarting = (consumer: Consumer, generation: Generation): Effect.Effect<void> =>
  Effect.flatMap(dropUnstarted(generation), (between) => {
    consumer.counts.handedBack += between
    return generation.waiting.interrupt
  })

/** Interrupts the records that run, without waiting for them. */
export const interruptRecords = (generation: Generation): Effect.Effect<void> =>
  Effect.suspend(() => {
    generation.interrupting = true
    return generation.inFlight.interrupt
  })

const all = ({ partitions }: Generation): ReadonlyArray<TopicPartition> => Array.from(partitions.values())

const positions = ({ partitions }: Generation): ReadonlyMap<string, TopicOffset> => {
  const kept = new Map<string, TopicOffset>()
  for (const [key, { offsets: { current }, partition, topic }] of partitions) {
    if (current !== undefined) kept.set(key, { topic, partition, offset: current })
  }
  return kept
}

/** The membership is gone, and other members have the partitions: interrupts their records, and commits nothing. */
export const lose = (consumer: Consumer, generation: Generation, why: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (generation.state === "Closed") return Effect.void
    generation.givenUp = generation.state === "Open"
    generation.state = "Closed"
    consumer.kept = new Map()
    return Effect.logWarning(`${consumer.name}: the membership in group ${consumer.groupId} is lost: ${why}`).pipe(
      Effect.zipRight(generation.lost.open),
      Effect.zipRight(consumer.member.pause(all(generation))),
      Effect.zipRight(stopStarting(consumer, generation)),
      Effect.zipRight(interruptRecords(generation))
    )
  })

/** Records of a membership that was lost were interrupted: that is no end of a process. */
const handBackLost = (consumer: Consumer, generation: Generation): Effect.Effect<void> =>
  Effect.suspend(() =>
    generation.interrupting
      ? Effect.zipRight(
        bounded({ within: interruptTimeout })(generation.inFlight.awaitEmpty),
        uncount(consumer, generation)
      )
      : Effect.void
  )

/**
 * The member is about to join again: its records finish within `revocationTimeout`, or are interrupted, and what is done is
 * committed, before another member can have the partitions.
 */
const revoke = (consumer: Consumer, generation: Generation): Effect.Effect<void> =>
  Effect.gen(function*() {
    // The member was in no group since: its partitions may have moved on without it.
    consumer.kept = new Map()
    consumer.opening = undefined
    generation.givenUp = false
    if (generation.state !== "Open") return yield* handBackLost(consumer, generation)
    generation.state = "Closing"
    const { expedited } = yield* Shutdown
    yield* stopStarting(consumer, generation)
    const committed = (always: boolean) =>
      Effect.catchAll(
        Effect.flatMap(
          bounded({ within: commitTimeout })(commit(consumer, generation, { always })),
          Option.match({ onNone: () => Effect.void, onSome: (exit) => exit })
        ),
        (error) =>
          error.reason === "MembershipLost"
            ? lose(consumer, generation, error.message)
            : Effect.logDebug(`${consumer.name}: offsets could not be committed in a rebalance`, error)
      )
    if (generation.inFlight.size() > 0) {
      // Records of a membership that is lost already are not waited for.
      yield* committed(true)
      yield* bounded({ within: consumer.revocationTimeout, cut: Effect.raceFirst(generation.lost.await, expedited) })(
        generation.inFlight.awaitEmpty
      )
    }
    if (generation.inFlight.size() > 0) {
      yield* interruptRecords(generation)
      yield* bounded({ within: interruptTimeout })(generation.inFlight.awaitEmpty)
      consumer.counts.cut += running(generation)
    }
    yield* committed(false)
    // `lose` may have closed it meanwhile.
    if (generation.state === "Closing") {
      yield* uncount(consumer, generation)
      generation.state = "Closed"
      consumer.kept = positions(generation)
    }
  })

/** Claims partitions in the ledger, one call after the other, until the member is joining again. Until then they are paused. */
const claim = (
  consumer: Consumer,
  assigned: ReadonlyArray<TopicPartition>,
  opening: symbol
): Effect.Effect<ReadonlyMap<string, Claim>> => {
  const { ledger } = consumer
  const claims = new Map<string, Claim>()
  if (ledger === undefined) return Effect.succeed(claims)
  const isCurrent = () => consumer.opening === opening
  // A member that drains runs no record, and leaves.
  if (consumer.draining) return Effect.succeed(claims)
  const claimAll = Effect.forEach(assigned, (partition) =>
    isCurrent()
      ? Effect.map(ledger.claim(partition), (claim) => void claims.set(partitionKey(partition), claim))
      : Effect.void, { discard: true })
  return consumer.member.pause(assigned).pipe(
    Effect.zipRight(claimAll),
    Effect.tapError((error) =>
      isCurrent()
        ? Effect.logWarning(
          `${consumer.name}: partitions could not be claimed in the database, and are tried again`,
          error
        )
        : Effect.void
    ),
    Effect.retry({ schedule: backoff("5 seconds"), while: isCurrent }),
    Effect.ignore,
    consumer.claiming.withPermits(1),
    Effect.as(claims)
  )
}

const claimedPositions = (assigned: ReadonlyArray<TopicPartition>, claims: ReadonlyMap<string, Claim>) =>
  assigned.flatMap((partition) => {
    const key = partitionKey(partition)
    const offset = claims.get(key)?.next
    return offset === undefined ? [] : [[key, { ...partition, offset }] as const]
  })

/**
 * Opens the partitions that the member has now, those that it had before at the positions where they were. With a ledger, those of a
 * membership that was held to be lost are handed back first.
 */
const open = (
  consumer: Consumer,
  assigned: ReadonlyArray<TopicPartition>,
  lost?: Generation
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const opening = Symbol()
    consumer.opening = opening
    if (lost !== undefined && consumer.ledger !== undefined) yield* handBackLost(consumer, lost)
    const claims = yield* claim(consumer, assigned, opening)
    // The member is joining again, or has ended.
    if (consumer.opening !== opening) return
    const kept = new Map([...consumer.kept, ...claimedPositions(assigned, claims)])
    consumer.kept = new Map()
    const generation = yield* makeGeneration(assigned, kept, claims)
    consumer.generation = generation
    consumer.trouble = undefined
    consumer.hasJoined = true
    yield* seen(consumer)
    const offsets = assigned.flatMap((partition) => kept.get(partitionKey(partition)) ?? [])
    if (offsets.length > 0) {
      yield* consumer.member.seek(offsets)
      // The last commit may have failed.
      yield* consumer.uncommitted.open
    }
    yield* consumer.draining ? consumer.member.pause(assigned) : consumer.member.resume(assigned)
  })

/** The group has heard of the member. One that was held to be lost was not, so its partitions go on. */
const heartbeat = (consumer: Consumer): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { generation } = consumer
    if (!generation.givenUp || consumer.draining) return seen(consumer)
    generation.givenUp = false
    consumer.kept = positions(generation)
    return open(consumer, all(generation).map(({ partition, topic }) => ({ topic, partition })), generation)
  })

/** Starts the records of a batch. Holds the next fetch while the partition has no room, then pauses the partition. */
const fetched = (consumer: Consumer, batch: Batch): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { generation } = consumer
    const partition = generation.partitions.get(partitionKey(batch))
    if (partition === undefined || !isOpen(consumer, generation)) return Effect.void
    batch.accept()
    const committable = addBatch(generation, partition, batch, consumer.order)
    if (committable > 0) requestCommit(consumer, generation, committable)
    consumer.metrics.lag(partition)
    const started = startRecords(consumer, generation)
    if (partition.offsets.size < consumer.maxUncommitted) return started
    return partition.room.close.pipe(
      Effect.zipRight(started),
      Effect.zipRight(bounded({ within: holdTime })(partition.room.await)),
      Effect.flatMap((room) => {
        if (Option.isSome(room) || !isOpen(consumer, generation)) return Effect.void
        partition.paused = true
        return consumer.member.pause([partition])
      })
    )
  })

/** Also a member that joins again has left the group first. */
const failed = (consumer: Consumer, error: unknown, restarts: boolean): Effect.Effect<void> =>
  Effect.suspend(() => {
    const trouble = errorMessage(error)
    consumer.trouble = trouble
    const reason = `${consumer.name}: the Kafka client failed: ${trouble}`
    return Effect.zipRight(
      lose(consumer, consumer.generation, trouble),
      restarts ? Effect.void : consumer.shutdown.begin({ reason, failure: reason, cause: error })
    )
  })

export const memberEvents = (consumer: Consumer): MemberEvents => ({
  joining: Effect.suspend(() => revoke(consumer, consumer.generation)),
  joined: (assigned) => open(consumer, assigned),
  heartbeat: heartbeat(consumer),
  fetched: (batch) => fetched(consumer, batch),
  failed: (error, restarts) => failed(consumer, error, restarts)
})

/** Gives the membership up when the group has not heard of it for as long as it waits. Until it is interrupted. */
export const sessionLoop = (consumer: Consumer): Effect.Effect<never> =>
  Effect.gen(function*() {
    const timeout = Duration.toMillis(consumer.sessionTimeout)
    const left = consumer.seenAt + timeout - (yield* monotonicMillis)
    if (left > 0) return yield* Effect.sleep(Math.ceil(left))
    if (consumer.hasJoined) {
      yield* lose(consumer, consumer.generation, "the group has heard nothing of it for the session timeout")
    }
    yield* Effect.sleep(timeout)
  }).pipe(Effect.forever)
