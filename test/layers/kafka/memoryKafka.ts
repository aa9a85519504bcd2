import { Effect, Layer } from "effect"
import type { Scope } from "effect"
import * as KafkaClient from "../../../src/layers/kafka/KafkaClient.js"
import { until } from "../../kit/until.js"

/** A record to be read: its key and value. */
type Entry = readonly [key: string | null, value: string]

type Answer = "accept" | KafkaClient.KafkaError["reason"]

/** One topic, and a group of which one member is real: what the others do, the test says. */
export interface MemoryKafka {
  readonly layer: Layer.Layer<KafkaClient.KafkaClient>
  /** Appends records to a partition, each from its key and its value. */
  readonly append: (partition: number, entries: ReadonlyArray<Entry>) => void
  /** Gives headers to the records of a partition. */
  readonly withHeaders: (partition: number, headers: KafkaClient.KafkaHeaders) => Effect.Effect<void>
  /** Fetches once from each partition that is not paused, and waits until the member takes more. */
  readonly poll: Effect.Effect<void>
  /** Fetches until everything that is not paused was fetched. */
  readonly pollAll: Effect.Effect<void>
  /** The member joins again and is given these partitions. With `lost`, the group has gone on without it. */
  readonly rebalance: (assigned: ReadonlyArray<number>, options?: { readonly lost?: boolean }) => Effect.Effect<void>
  /** The group hears of the member, if it is in the group. */
  readonly heartbeat: Effect.Effect<void>
  readonly fail: (error: unknown, restarts: boolean) => Effect.Effect<void>
  /** How commits are answered from now on. */
  answer: Answer
  /** The commits that were accepted and what happened to the member, in order: `commit 0@5`, `pause 0`, `leave`. */
  readonly log: ReadonlyArray<string>
  readonly committed: ReadonlyMap<number, bigint>
  readonly paused: ReadonlySet<number>
  /** Commits of a membership that had ended. */
  readonly stale: ReadonlyArray<string>
  /** The records that were sent. */
  readonly sent: ReadonlyArray<readonly [topic: string, KafkaClient.KafkaMessage]>
  /** Sends wait for it. */
  readonly gate: Effect.Latch
  /** Runs at each accepted commit. */
  onCommit: (partition: number, offset: bigint) => void
}

export const topic = "orders"
const error = (reason: KafkaClient.KafkaError["reason"], operation: KafkaClient.KafkaError["operation"] = "commit") =>
  new KafkaClient.KafkaError({ operation, reason, cause: new Error(reason) })

export const makeMemoryKafka = (batchSize = 100): Effect.Effect<MemoryKafka> =>
  Effect.gen(function*() {
    const records = new Map<number, Array<KafkaClient.KafkaRecord>>()
    const positions = new Map<number, bigint>()
    const committed = new Map<number, bigint>()
    const paused = new Set<number>()
    const [log, stale] = [new Array<string>(), new Array<string>()]
    const sent: Array<readonly [string, KafkaClient.KafkaMessage]> = []
    const gate = yield* Effect.makeLatch(true)
    let events: KafkaClient.MemberEvents | undefined
    let [assigned, joining, gone]: [ReadonlyArray<number>, boolean, boolean] = [[], false, true]
    const on = <A>(f: (events: KafkaClient.MemberEvents) => Effect.Effect<A>) => Effect.suspend(() => f(events!))
    const all = (partitions: ReadonlyArray<number>) => partitions.map((partition) => ({ topic, partition }))
    const names = (partitions: ReadonlyArray<KafkaClient.TopicPartition>) =>
      partitions.map((_) => _.partition).join(",")
    const note = (line: string) => Effect.sync(() => void log.push(line))

    const commit: KafkaClient.Member["commit"] = (offsets) =>
      Effect.suspend((): Effect.Effect<void, KafkaClient.KafkaError> => {
        const text = offsets.map(({ offset, partition }) => `${partition}@${offset}`).join(" ")
        if (gone) {
          stale.push(text)
          return error("MembershipLost")
        }
        if (memory.answer !== "accept") return error(memory.answer)
        for (const { offset, partition } of offsets) {
          if (!assigned.includes(partition)) stale.push(text)
          committed.set(partition, offset)
          memory.onCommit(partition, offset)
        }
        return note(`commit ${text}`)
      })

    const member: KafkaClient.Member = {
      start: (given) =>
        Effect.sync(() => {
          events = given
        }),
      pause: (partitions) =>
        Effect.suspend(() => {
          for (const { partition } of partitions) paused.add(partition)
          return note(`pause ${names(partitions)}`)
        }),
      resume: (partitions) =>
        Effect.suspend(() => {
          for (const { partition } of partitions) paused.delete(partition)
          return note(`resume ${names(partitions)}`)
        }),
      seek: (offsets) =>
        Effect.sync(() => {
          for (const { offset, partition } of offsets) positions.set(partition, offset)
        }),
      commit,
      leave: Effect.suspend(() => {
        gone = true
        return note("leave")
      })
    }

    const fetch = (partition: number): Effect.Effect<void> =>
      on(({ fetched }) => {
        const position = positions.get(partition) ?? 0n
        const found = (records.get(partition) ?? []).slice(Number(position), Number(position) + batchSize)
        if (found.length === 0 || paused.has(partition) || joining || gone) return Effect.void
        const end = position + BigInt(found.length)
        return fetched({
          topic,
          partition,
          records: found,
          end,
          highWatermark: BigInt(records.get(partition)!.length),
          accept: () => void positions.set(partition, end)
        })
      })

    const poll = Effect.suspend(() => Effect.forEach(assigned, fetch, { concurrency: "unbounded", discard: true }))
    const behind = () =>
      assigned.some((partition) =>
        !paused.has(partition) && Number(positions.get(partition) ?? 0n) < (records.get(partition)?.length ?? 0)
      )

    const memory: MemoryKafka = {
      layer: Layer.succeed(KafkaClient.KafkaClient, {
        member: () => Effect.succeed(member),
        producer: (): Effect.Effect<KafkaClient.ProducerConnection, never, Scope.Scope> =>
          Effect.succeed({
            send: (topic, messages) =>
              Effect.zipRight(
                gate.await,
                Effect.sync(() => void sent.push(...messages.map((message) => [topic, message] as const)))
              )
          })
      }),
      append: (partition, entries) => {
        const log = records.get(partition) ?? []
        records.set(partition, log)
        for (const [key, value] of entries) {
          log.push({
            topic,
            partition,
            offset: BigInt(log.length),
            key: key === null ? null : Buffer.from(key),
            value: Buffer.from(value),
            timestamp: 0,
            headers: {}
          })
        }
      },
      withHeaders: (partition, headers) =>
        Effect.sync(() => {
          records.set(partition, records.get(partition)!.map((record) => ({ ...record, headers })))
        }),
      poll,
      pollAll: Effect.whileLoop({ while: behind, body: () => poll, step: () => {} }),
      rebalance: (next, { lost = false } = {}) =>
        Effect.gen(function*() {
          yield* until("the member has started", Effect.sync(() => events !== undefined))
          if (lost) gone = true
          joining = true
          yield* on((_) => _.joining)
          // As kafkajs does: it goes on at what is committed.
          positions.clear()
          for (const partition of next) positions.set(partition, committed.get(partition) ?? 0n)
          assigned = next
          gone = false
          joining = false
          yield* on((_) => _.joined(all(next)))
        }),
      heartbeat: on((_) => joining || gone ? Effect.void : _.heartbeat),
      fail: (error, restarts) => on((_) => _.failed(error, restarts)),
      answer: "accept",
      log,
      committed,
      paused,
      stale,
      sent,
      gate,
      onCommit: () => {}
    }
    return memory
  })
