import { type Array, Effect } from "effect"
import { type InFlight, makeInFlight } from "../../../core/internal/inFlight.js"
import type { Batch, KafkaRecord, TopicOffset, TopicPartition } from "../contract.js"
import { Fifo } from "./fifo.js"
import type { Claim } from "./ledger.js"
import { Offsets, type Tracked } from "./offsets.js"

/** Records that run one after the other: those of a key, or of a partition. */
interface Lane {
  /** Undefined for a record without a key, whose lane is its own. */
  readonly key: string | undefined
  readonly partition: Partition
  readonly queue: Fifo<Delivery>
  /** The record that runs, with those of its batch, or that waits for its next attempt. The lane is ready only without one. */
  current: Delivery | undefined
}

/** One fetched record. */
export interface Delivery {
  readonly record: KafkaRecord
  readonly lane: Lane
  readonly tracked: Tracked
  /** 1 for the first attempt. */
  attempt: number
  /** The records behind it in its batch. Empty without one. */
  rest: ReadonlyArray<Delivery>
  /** Whether it runs in no batch any more, because one with it has failed. */
  alone: boolean
  /** Whether the attempt is counted in the ledger. */
  begun: boolean
}

const none: ReadonlyArray<Delivery> = []

/** A record, with those of its batch. */
export const together = (delivery: Delivery): Array.NonEmptyReadonlyArray<Delivery> => [delivery, ...delivery.rest]

/** A fiber that runs records, and the one that it runs now. */
export interface Worker {
  delivery: Delivery
}

/** One partition that the member has. */
export interface Partition extends TopicPartition {
  /** In the ledger. Undefined without one. */
  readonly claim: Claim | undefined
  readonly offsets: Offsets
  readonly lanes: Map<string, Lane>
  /** Open while there is room for more records. */
  readonly room: Effect.Latch
  highWatermark: bigint
  paused: boolean
}

/**
 * The partitions that a member has from one rebalance to the next.
 *
 * - `Open`: records start.
 * - `Closing`: no record starts; those that run may finish and are committed.
 * - `Closed`: nothing is committed any more.
 */
export interface Generation {
  state: "Open" | "Closing" | "Closed"
  readonly partitions: ReadonlyMap<string, Partition>
  readonly ready: Fifo<Lane>
  /** Workers. A record that waits for its next attempt has none. */
  running: number
  readonly inFlight: InFlight<Worker>
  /** Records whose end could be committed, and is not. */
  uncommitted: number
  /** Records that wait for their next attempt. */
  readonly waiting: InFlight<Delivery>
  /** Open once the membership is lost: to wait for the records is pointless. */
  readonly lost: Effect.Latch
  /** Whether the membership was given up, and the member has not begun to join again. */
  givenUp: boolean
  /** Whether its records are being interrupted. */
  interrupting: boolean
}

export const partitionKey = ({ partition, topic }: TopicPartition): string => `${partition} ${topic}`

/** The partitions of a member that has joined. Those in `kept` go on at their offsets. */
export const makeGeneration = (
  assigned: ReadonlyArray<TopicPartition>,
  kept: ReadonlyMap<string, TopicOffset>,
  claims: ReadonlyMap<string, Claim> = new Map()
): Effect.Effect<Generation> =>
  Effect.gen(function*() {
    const partitions = new Map<string, Partition>()
    for (const { partition, topic } of assigned) {
      const key = partitionKey({ topic, partition })
      partitions.set(key, {
        topic,
        partition,
        claim: claims.get(key),
        offsets: new Offsets(kept.get(key)?.offset),
        lanes: new Map(),
        room: yield* Effect.makeLatch(true),
        highWatermark: 0n,
        paused: false
      })
    }
    return {
      state: "Open",
      partitions,
      ready: new Fifo<Lane>(),
      running: 0,
      inFlight: yield* makeInFlight<Worker>(),
      uncommitted: 0,
      waiting: yield* makeInFlight<Delivery>(),
      lost: yield* Effect.makeLatch(false),
      givenUp: false,
      interrupting: false
    }
  })

const laneOf = (partition: Partition, key: string | undefined): Lane => {
  const found = key === undefined ? undefined : partition.lanes.get(key)
  if (found !== undefined) return found
  const lane: Lane = { key, partition, queue: new Fifo(), current: undefined }
  if (key !== undefined) partition.lanes.set(key, lane)
  return lane
}

const laneKey = ({ key }: KafkaRecord, order: "key" | "partition"): string | undefined =>
  order === "partition"
    ? ""
    : key === null
    ? undefined
    : (Buffer.isBuffer(key) ? key : Buffer.from(key)).toString("latin1")

/** Adds the records of a batch to their lanes. Returns how many can be committed, because the ledger has them. */
export const addBatch = (
  generation: Generation,
  partition: Partition,
  batch: Batch,
  order: "key" | "partition"
): number => {
  let committable = 0
  for (const record of batch.records) {
    // Fetched before.
    if (partition.offsets.has(record.offset)) continue
    const tracked = partition.offsets.add(record.offset)
    if (partition.claim?.done.has(record.offset) === true) {
      committable += partition.offsets.complete(tracked)
      continue
    }
    const lane = laneOf(partition, laneKey(record, order))
    lane.queue.push({ record, lane, tracked, attempt: 1, rest: none, alone: false, begun: false })
    if (lane.current === undefined && lane.queue.size === 1) generation.ready.push(lane)
  }
  partition.offsets.skipTo(batch.end)
  partition.highWatermark = batch.highWatermark
  return committable
}

/** A record at which a process has ended runs alone, so that its next end is that of no other record. */
const mayJoin = ({ alone, lane: { partition: { claim } }, record }: Delivery): boolean =>
  !alone && (claim?.deaths.get(record.offset) ?? 0) === 0

/** Records that run together with this one, behind it. */
const restOf = (first: Delivery, batchSize: number): ReadonlyArray<Delivery> => {
  if (batchSize === 1 || !mayJoin(first)) return none
  const { queue } = first.lane
  const rest: globalThis.Array<Delivery> = []
  for (
    let next = queue.peek();
    next !== undefined && rest.length + 1 < batchSize && mayJoin(next);
    next = queue.peek()
  ) {
    rest.push(queue.shift()!)
  }
  return rest
}

/**
 * The next record to run, with those of its batch, which occupies its lane until `release`, `again` or `split`. Undefined when
 * none is ready.
 */
export const take = (generation: Generation, batchSize: number): Delivery | undefined => {
  const lane = generation.ready.shift()
  if (lane === undefined) return undefined
  if (lane.current === undefined) {
    lane.current = lane.queue.shift()
    if (lane.current !== undefined) lane.current.rest = restOf(lane.current, batchSize)
  }
  return lane.current
}

/** The records of a batch run again, in their order: those that `isAlone` chooses alone, others in batches. */
export const split = (generation: Generation, first: Delivery, isAlone: (delivery: Delivery) => boolean): void => {
  const deliveries = together(first)
  first.rest = none
  for (const delivery of deliveries) if (isAlone(delivery)) delivery.alone = true
  first.lane.queue.unshift(deliveries)
  release(generation, first)
}

/** The first records of a batch are done. The next one is the current of its lane, and runs alone. */
export const startAt = (first: Delivery, next: Delivery): void => {
  const { lane } = first
  const deliveries = together(first)
  lane.queue.unshift(deliveries.slice(deliveries.indexOf(next) + 1))
  first.rest = none
  next.alone = true
  lane.current = next
}

/** The record is done: the next one of its lane is ready. */
export const release = (generation: Generation, { lane }: Delivery): void => {
  lane.current = undefined
  if (lane.queue.size > 0) generation.ready.push(lane)
  else if (lane.key !== undefined) lane.partition.lanes.delete(lane.key)
}

/** The record is ready for its next attempt. */
export const again = (generation: Generation, delivery: Delivery): void => {
  delivery.attempt++
  generation.ready.push(delivery.lane)
}

/** Forgets the records that have not started: they stay uncommitted. Returns how many were between two attempts. */
export const dropUnstarted = (generation: Generation): Effect.Effect<number> =>
  Effect.suspend(() => {
    let between = 0
    for (let lane = generation.ready.shift(); lane !== undefined; lane = generation.ready.shift()) {
      if (lane.current !== undefined) between++
    }
    for (const partition of generation.partitions.values()) {
      for (const lane of partition.lanes.values()) lane.queue.clear()
    }
    return Effect.as(
      Effect.forEach(generation.partitions.values(), ({ room }) => room.open, { discard: true }),
      between
    )
  })

/** Records that run. */
export const running = ({ inFlight }: Generation): number =>
  inFlight.units().reduce((sum, { data: { delivery: { rest } } }) => sum + 1 + rest.length, 0)

/** Records that run, and those that wait for their next attempt. */
export const started = (generation: Generation): number => running(generation) + generation.waiting.size()
