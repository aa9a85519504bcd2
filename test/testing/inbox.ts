import { assert } from "@effect/vitest"
import { Effect, Exit, Queue, Ref } from "effect"

/** Two jobs in a queue. */
export const inbox = Effect.gen(function*() {
  const queue = yield* Queue.unbounded<string>()
  yield* queue.offerAll(["a", "b"])
  return { queue, acked: yield* Ref.make<ReadonlyArray<string>>([]) }
})
export type Inbox = Effect.Effect.Success<typeof inbox>

/** Each job is acknowledged or still in the queue. */
export const nothingLost = ({ acked, queue }: Inbox) =>
  Effect.gen(function*() {
    const jobs = [...yield* Ref.get(acked), ...yield* queue.takeAll].sort()
    assert.deepStrictEqual(jobs, ["a", "b"])
  })

export const ack = ({ acked }: Inbox, job: string) => Ref.update(acked, (jobs) => [...jobs, job])

export const work = Effect.withSpan(Effect.yieldNow(), "work")

/** Acknowledges the job after a success, and hands it back otherwise. */
export const settle = (inbox: Inbox, job: string, exit: Exit.Exit<unknown>) =>
  Exit.isSuccess(exit) ? ack(inbox, job) : inbox.queue.offer(job)
