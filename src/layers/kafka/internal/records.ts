import { Array, Cause, Clock, Context, Effect, Exit, type Fiber, Option } from "effect"
import { delayAfter } from "../../../core/internal/delayAfter.js"
import { refsOf, replaceRefs } from "../../../core/internal/effectInternals.js"
import { namedCauseMessage } from "../../../core/internal/errorMessage.js"
import { BatchError } from "../contract.js"
import { requestCommit } from "./commits.js"
import { type Consumer, isOpen } from "./consumerState.js"
import {
  again,
  type Delivery,
  type Generation,
  type Partition,
  release,
  split,
  startAt,
  take,
  together,
  type Worker
} from "./generation.js"
import { counted, ProcessEnded, transactOf } from "./ledgerRecords.js"
import { inRecordSpan, recordSpans } from "./recordSpan.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * Starts workers for the records that are ready, while there are free slots. Each has a turn before the next one starts: where
 * processes do not wait, it runs all records.
 */
export const startRecords = (consumer: Consumer, generation: Generation): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!isOpen(consumer, generation) || generation.running >= consumer.concurrency) return Effect.void
    const delivery = take(generation, consumer.batchSize ?? 1)
    if (delivery === undefined) return Effect.void
    generation.running++
    const worker = { delivery }
    generation.inFlight.add(consumer.fork(runRecords(consumer, generation, worker)), worker)
    return generation.ready.size === 0
      ? Effect.void
      : Effect.zipRight(Effect.yieldNow(), startRecords(consumer, generation))
  })

/**
 * Runs a record, and then others as long as one is ready. Records share the fiber: forks are slow, and one record that forked the
 * next would make ever longer chains, because fiber refs remember the fibers that they came through.
 */
const runRecords = (consumer: Consumer, generation: Generation, worker: Worker): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const run = recordRunner(consumer, generation, fiber)
    const body = () => run(worker.delivery)
    consumer.metrics.running(1)
    const next = () => {
      const delivery = isOpen(consumer, generation) ? take(generation, consumer.batchSize ?? 1) : undefined
      if (delivery !== undefined) {
        worker.delivery = delivery
        return true
      }
      generation.running--
      consumer.metrics.running(-1)
      return false
    }
    return Effect.zipRight(body(), Effect.whileLoop({ while: next, body, step: () => {} }))
  })

/** Fetches the partition again once half of its room is free. */
const makeRoom = (consumer: Consumer, generation: Generation, partition: Partition): Effect.Effect<void> => {
  if (partition.offsets.size > consumer.maxUncommitted / 2) return Effect.void
  partition.room.unsafeOpen()
  if (!partition.paused || !isOpen(consumer, generation)) return Effect.void
  partition.paused = false
  return consumer.member.resume([partition])
}

const handBack = ({ counts, metrics }: Consumer, records: number): Effect.Effect<void> =>
  Effect.sync(() => {
    counts.handedBack += records
    metrics.count("HandedBack", records)
  })

/** These records of a partition are done: their offsets may be committed. */
const complete = (
  consumer: Consumer,
  generation: Generation,
  deliveries: Array.NonEmptyReadonlyArray<Delivery>,
  outcome: "Succeeded" | "DeadLettered"
): Effect.Effect<void> => {
  const { partition } = deliveries[0].lane
  consumer.counts.finished += deliveries.length
  consumer.metrics.count(outcome, deliveries.length)
  let committable = 0
  for (const { tracked } of deliveries) committable += partition.offsets.complete(tracked)
  if (committable === 0) return Effect.void
  requestCommit(consumer, generation, committable)
  return makeRoom(consumer, generation, partition)
}

/** The record is done, with those of its batch, and the next of its lane is ready. */
const finish = (
  consumer: Consumer,
  generation: Generation,
  delivery: Delivery,
  outcome: "Succeeded" | "DeadLettered"
): Effect.Effect<void> => {
  const deliveries = together(delivery)
  // It is delivered again, to the member that has the partition now.
  if (generation.state === "Closed") return handBack(consumer, deliveries.length)
  release(generation, delivery)
  return complete(consumer, generation, deliveries, outcome)
}

/** Waits for the next attempt without a slot, so that only the records of its lane wait with it. */
const waitForNextAttempt = (
  consumer: Consumer,
  generation: Generation,
  delivery: Delivery,
  delay: Effect.Effect<void>
) =>
  generation.waiting.fork(
    delivery,
    Effect.flatMap(Effect.exit(Effect.interruptible(delay)), (exit) => {
      if (Exit.isFailure(exit) || !isOpen(consumer, generation)) return handBack(consumer, 1)
      again(generation, delivery)
      return startRecords(consumer, generation)
    })
  )

const deadLetter = (
  consumer: Consumer,
  generation: Generation,
  delivery: Delivery,
  cause: Cause.Cause<unknown>
): Effect.Effect<void> => {
  const { offset, partition, topic } = delivery.record
  const where = `${consumer.name}: the record at offset ${offset} of ${topic}/${partition}`
  if (consumer.deadLetter === undefined) {
    const reason = `${where} failed, and there is no dead letter topic`
    return consumer.shutdown.begin({
      reason,
      failure: `${reason}: ${namedCauseMessage(cause)}`,
      cause: Cause.squash(cause)
    }).pipe(Effect.zipRight(handBack(consumer, 1)))
  }
  return Effect.logError(`${where} becomes a dead letter after ${delivery.attempt} attempts`, cause).pipe(
    Effect.zipRight(Effect.exit(Effect.interruptible(consumer.deadLetter(delivery, cause)))),
    Effect.flatMap((exit) =>
      Exit.isSuccess(exit)
        ? finish(consumer, generation, delivery, "DeadLettered")
        : handBack(consumer, 1)
    )
  )
}

/** What a record of a batch has failed with. */
const ofRecord = (error: unknown): unknown => error instanceof BatchError ? error.error : error

/** An attempt at one record has failed: another one follows, or it is a dead letter. */
const settleFailure = (
  consumer: Consumer,
  generation: Generation,
  delivery: Delivery,
  of: Cause.Cause<unknown>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const cause = Cause.map(of, ofRecord)
    const permanent = Option.exists(
      Cause.failureOption(cause),
      (error) => error instanceof ProcessEnded || consumer.isPermanent(error)
    )
    return Effect.flatMap(
      permanent ? Effect.succeedNone : delayAfter(consumer.retry, delivery.attempt),
      Option.match({
        onNone: () => deadLetter(consumer, generation, delivery, cause),
        // To wait would hold up the drain, or the rebalance.
        onSome: (delay) =>
          isOpen(consumer, generation)
            ? Effect.suspend(() => {
              consumer.metrics.count("Retried", 1)
              return waitForNextAttempt(consumer, generation, delivery, Effect.sleep(delay))
            })
            : handBack(consumer, 1)
      })
    )
  })

/** The records of a batch that has failed run again, each of them alone, unless its error says which one has failed. */
const settleBatch = (
  consumer: Consumer,
  generation: Generation,
  first: Delivery,
  cause: Cause.Cause<unknown>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const deliveries = together(first)
    const failure = Option.getOrUndefined(Cause.failureOption(cause))
    const index = failure instanceof BatchError
      ? deliveries.findIndex(({ record }) => record.offset === failure.offset)
      : -1
    const failed = deliveries[index]
    if (failed === undefined || consumer.ledger !== undefined) {
      if (!isOpen(consumer, generation)) return handBack(consumer, deliveries.length)
      split(generation, first, (delivery) => failed === undefined || delivery === failed)
      return Effect.void
    }
    const done = deliveries.slice(0, index)
    startAt(first, failed)
    const settle = isOpen(consumer, generation)
      ? settleFailure(consumer, generation, failed, cause)
      : handBack(consumer, deliveries.length - index)
    return Array.isNonEmptyArray(done)
      ? Effect.zipRight(complete(consumer, generation, done, "Succeeded"), settle)
      : settle
  })

const settle = (
  consumer: Consumer,
  generation: Generation,
  delivery: Delivery,
  cause: Cause.Cause<unknown>
): Effect.Effect<void> => {
  // Interrupted by the consumer, or of a partition that another member has by now.
  if ((generation.interrupting && Cause.isInterrupted(cause)) || generation.state === "Closed") {
    return handBack(consumer, 1 + delivery.rest.length)
  }
  return delivery.rest.length > 0
    ? settleBatch(consumer, generation, delivery, cause)
    : settleFailure(consumer, generation, delivery, cause)
}

/**
 * Runs one attempt at a record, or at a batch, in a span of its own, and what follows from it. Only the user's process is
 * interruptible. What it leaves in the fiber refs does not reach the next record.
 */
const recordRunner = (consumer: Consumer, generation: Generation, fiber: AnyFiber) => {
  const refs = refsOf(fiber)
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  const startSpan = recordSpans(consumer, fiber)
  return (delivery: Delivery): Effect.Effect<void> => {
    const more = delivery.rest.length
    if (more > 0) consumer.metrics.running(more)
    const startedAt = clock.unsafeCurrentTimeNanos()
    const span = startSpan?.(delivery, startedAt)
    replaceRefs(fiber, span?.refs ?? refs)
    const ended = (exit: Exit.Exit<unknown, unknown>) => {
      const endedAt = clock.unsafeCurrentTimeNanos()
      span?.end(exit, endedAt)
      if (more > 0) consumer.metrics.running(-more)
      consumer.metrics.attempted(Number(endedAt - startedAt) / 1e6)
    }
    const transact = transactOf(consumer, generation, delivery)
    const process = counted(
      consumer,
      generation,
      delivery,
      Effect.suspend(() => consumer.process(delivery, { attempt: delivery.attempt, transact }))
    )
    const attempt = span === undefined ? inRecordSpan(consumer, delivery, process) : process
    return Effect.matchCauseEffect(Effect.interruptible(attempt), {
      onSuccess: (value) => {
        ended(Exit.succeed(value))
        return finish(consumer, generation, delivery, "Succeeded")
      },
      onFailure: (cause) => {
        ended(Exit.failCause(cause))
        replaceRefs(fiber, refs)
        return settle(consumer, generation, delivery, cause)
      }
    })
  }
}
