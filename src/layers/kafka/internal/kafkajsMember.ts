import { Effect, Runtime } from "effect"
import type { Batch, KafkaHeaders, Member, MemberEvents, MemberSettings, TopicPartition } from "../contract.js"
import type { Cluster, Driver, DriverConsumer, DriverKafka, EachBatchPayload, PartitionAssigner } from "./driver.js"
import { attempt } from "./kafkajsErrors.js"

/**
 * How long a fetch waits for records. It is also the longest time from the resumption of a partition to its next fetch, and
 * what leaving the group takes.
 */
const maxWait = 100

/** Batches that are handed over at a time. A batch that waits for room holds up those of its broker, for a short time. */
const batches = 64

/** The driver's form of a list: a list of its own for each topic. */
const byTopic = <A extends TopicPartition, B>(items: ReadonlyArray<A>, partition: (item: A) => B) => {
  const topics = new Map<string, Array<B>>()
  for (const item of items) {
    const found = topics.get(item.topic)
    if (found === undefined) topics.set(item.topic, [partition(item)])
    else found.push(partition(item))
  }
  return Array.from(topics, ([topic, partitions]) => ({ topic, partitions }))
}

const numbers = (partitions: ReadonlyArray<TopicPartition>) => byTopic(partitions, ({ partition }) => partition)

/** The driver throws before its first run and after a crash, when it fetches nothing. */
const whileRunning = (operation: () => void): Effect.Effect<void> => Effect.ignore(Effect.try(operation))

/** The driver joins again when a fetch fails with this type. */
class JoinFailed extends Error {
  readonly type = "REBALANCE_IN_PROGRESS"
  override readonly message = "the member has not joined its group again"
}

const toBatch = ({ batch, resolveOffset }: EachBatchPayload): Batch => {
  const { partition, topic } = batch
  return {
    topic,
    partition,
    records: batch.messages.map(({ headers, key, offset, timestamp, value }) => ({
      topic,
      partition,
      offset: BigInt(offset),
      key,
      value,
      timestamp: Number(timestamp),
      headers: (headers ?? {}) as KafkaHeaders
    })),
    end: BigInt(batch.lastOffset()) + 1n,
    highWatermark: BigInt(batch.highWatermark),
    accept: () => resolveOffset(batch.lastOffset())
  }
}

/**
 * A member of a group by kafkajs. Its `eachBatch` hands records over and returns, so that its loop goes on to heartbeat and to
 * fetch whatever the records do; backpressure is pausing.
 *
 * kafkajs has no event that it waits for before it joins again. But each join begins with a search for the coordinator, on
 * a cluster object that belongs to this consumer and that it passes to its assigners: the search waits for `joining`.
 *
 * After a join that has failed, as by a connection that broke, kafkajs goes on to fetch what it had before, in no group or in one that
 * counts on it for other partitions, for ever. Each fetch begins on the cluster object, too: there such a fetch fails, and the join begins
 * again, by a new connection: kafkajs keeps one on which nothing is answered.
 *
 * Offsets are committed by `commitOffsetsIfNecessary`, which sends them once. `consumer.commitOffsets` repeats a failed
 * request with the membership of that moment: after a rebalance it would set back the partition of another member.
 */
export const makeMember = (
  kafka: DriverKafka,
  { PartitionAssigners: { roundRobin } }: Driver,
  { fromBeginning, groupId, sessionTimeout, topics }: MemberSettings
) =>
  Effect.gen(function*() {
    const runtime = yield* Effect.runtime<never>()
    let joining: () => Promise<unknown> = () => Promise.resolve()
    let join: "none" | "begun" | "failed" = "none"
    const waiting = new WeakSet<Cluster>()
    const assigner: PartitionAssigner = (config) => {
      const { cluster } = config
      if (!waiting.has(cluster)) {
        waiting.add(cluster)
        const find = cluster.findGroupCoordinator.bind(cluster)
        const refresh = cluster.refreshMetadataIfNecessary.bind(cluster)
        let coordinator: Awaited<ReturnType<Cluster["findGroupCoordinator"]>> | undefined
        cluster.findGroupCoordinator = async (group) => {
          const again = join === "failed"
          join = "begun"
          await joining()
          if (again && coordinator !== undefined) {
            cluster.removeBroker(coordinator.connectionPool)
            await cluster.connect()
            await refresh()
          }
          coordinator = await find(group)
          return coordinator
        }
        cluster.refreshMetadataIfNecessary = async () => {
          if (join === "none") return refresh()
          join = "failed"
          throw new JoinFailed()
        }
      }
      return roundRobin(config)
    }
    const consumer: DriverConsumer = kafka.consumer({
      groupId,
      sessionTimeout,
      rebalanceTimeout: 2 * sessionTimeout,
      heartbeatInterval: Math.floor(sessionTimeout / 10),
      maxWaitTimeInMs: maxWait,
      partitionAssigners: [assigner]
    })
    yield* attempt("connect", async () => {
      await consumer.connect()
      await consumer.subscribe({ topics: [...topics], fromBeginning })
    }).pipe(Effect.tapError(() => Effect.ignore(attempt("leave", () => consumer.disconnect()))))
    /** That of the current run of the driver: it begins anew after a crash. */
    let send: EachBatchPayload["commitOffsetsIfNecessary"] | undefined

    const start = (events: MemberEvents) => {
      const run = <A>(effect: Effect.Effect<A>) => Runtime.runPromise(runtime)(effect)
      const now = (effect: Effect.Effect<void>) => void Runtime.runFork(runtime)(effect)
      joining = () => run(events.joining)
      consumer.on("consumer.group_join", ({ payload: { memberAssignment } }) => {
        join = "none"
        now(events.joined(
          Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
            partitions.map((partition) => ({ topic, partition }))
          )
        ))
      })
      consumer.on("consumer.heartbeat", () => now(events.heartbeat))
      consumer.on("consumer.crash", ({ payload: { error, restart } }) => {
        send = undefined
        join = "none"
        now(events.failed(error, restart))
      })
      return consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: batches,
        eachBatch: (payload) => {
          send = payload.commitOffsetsIfNecessary
          return run(events.fetched(toBatch(payload)))
        }
      })
    }

    const member: Member = {
      start: (events) =>
        Effect.tryPromise({ try: () => start(events), catch: (error) => error }).pipe(
          Effect.catchAll((error) => events.failed(error, false)),
          Effect.forkDaemon
        ),
      pause: (partitions) => whileRunning(() => consumer.pause(numbers(partitions))),
      resume: (partitions) => whileRunning(() => consumer.resume(numbers(partitions))),
      seek: (offsets) =>
        whileRunning(() => {
          for (const { offset, ...partition } of offsets) consumer.seek({ ...partition, offset: String(offset) })
        }),
      commit: (offsets) =>
        attempt("commit", () => {
          if (send === undefined) throw new Error("no record was fetched yet")
          const topics = byTopic(offsets, ({ offset, partition }) => ({ partition, offset: String(offset) }))
          return send({ topics })
        }),
      leave: attempt("leave", () => consumer.disconnect())
    }
    return member
  })
