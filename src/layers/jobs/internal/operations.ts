import { Effect } from "effect"
import { countOption, durationOption } from "../../../core/internal/options.js"
import { JobEvent } from "../JobEvent.js"
import { type DeadLetters, JobSourceError, type OfferOptions, type QueueFull, type QueueOffer } from "../JobSource.js"
import type { Codec } from "./codec.js"
import { decodeFailures, type Failures } from "./failures.js"
import { ofOneJob } from "./ofOneJob.js"
import type { RedriveMatchingOptions } from "./poolService.js"
import type { Pool } from "./poolState.js"
import { redriveMatching } from "./redriveMatching.js"

/** The operations of a pool that need no workers. */
export const makeOperations = <Job, Failure>(
  pool: Pick<Pool, "name" | "queue" | "events"> & {
    /** Whether a job that is offered now can still be run. */
    readonly accepts: () => boolean
  },
  codec: Codec<Job>,
  failures: Failures<Failure>
) => {
  const { accepts, events, name, queue } = pool
  const { deadLetters } = queue
  /** Runs an operation and records its event, even if the caller is interrupted in between. */
  const record = <A, E>(
    tag: "Offered" | "Redriven" | "Discarded" | "Cancelled",
    operation: Effect.Effect<A, E>,
    fields: (result: A) => { readonly ids: ReadonlyArray<string>; readonly count: number }
  ) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.tap(restore(operation), (result) => {
        const batch = fields(result)
        return batch.count === 0 ? Effect.void : events.record(JobEvent[tag]({ pool: name, ...batch }))
      })
    )
  const checked = (options: QueueOffer = {}): QueueOffer => {
    const { delay, keepIdFor, priority, uniqueFor } = options
    // A negative number is the delay of a job that is due already.
    const input = typeof delay === "number" ? Math.max(0, delay) : delay
    return {
      ...options,
      delay: input === undefined ? undefined : durationOption(name, "delay", input),
      keepIdFor: keepIdFor === undefined ? undefined : durationOption(name, "keepIdFor", keepIdFor),
      uniqueFor: uniqueFor === undefined
        ? undefined
        : durationOption(name, "uniqueFor", uniqueFor, { positive: true }),
      priority: priority === undefined ? undefined : countOption(name, "priority", priority, { least: 0, most: 9 })
    }
  }
  const offerAll = (jobs: ReadonlyArray<Job>, options?: QueueOffer) =>
    Effect.flatMap(
      Effect.mapError(
        Effect.forEach(jobs, codec.encode),
        (cause) => new JobSourceError({ operation: "offer", queue: name, cause })
      ),
      (payloads): Effect.Effect<ReadonlyArray<string>, JobSourceError | QueueFull> =>
        accepts()
          ? record(
            "Offered",
            Effect.suspend(() => queue.offer(payloads, checked(options))),
            (ids) => ({ ids, count: ids.length })
          )
          : new JobSourceError({ operation: "offer", queue: name, cause: new Error("the pool has ended") })
    )
  const recorded = {
    redrive: (ids, options) => record("Redriven", deadLetters.redrive(ids, options), (count) => ({ ids, count })),
    discard: (ids) => record("Discarded", deadLetters.discard(ids), (count) => ({ ids, count }))
  } satisfies Pick<DeadLetters, "redrive" | "discard">
  return {
    name,
    offer: (job: Job, options?: OfferOptions) => Effect.map(offerAll([job], ofOneJob(options)), ([id]) => id!),
    offerAll,
    size: queue.size,
    find: queue.find,
    list: queue.list,
    listLimits: queue.listLimits,
    depth: queue.depth,
    cancel: (ids: ReadonlyArray<string>) => record("Cancelled", queue.cancel(ids), (count) => ({ ids, count })),
    deadLetters: { ...decodeFailures(deadLetters, failures), ...recorded },
    redriveMatching: ({ limit, ...options }: RedriveMatchingOptions) =>
      Effect.suspend(() =>
        redriveMatching({ ...deadLetters, ...recorded }, {
          ...options,
          limit: limit === undefined ? undefined : countOption(name, "limit", limit, { least: 1, unlimited: true })
        })
      )
  }
}
