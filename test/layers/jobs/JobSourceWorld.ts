import { Duration, Effect } from "effect"
import type { Claim, JobQueue } from "../../../src/layers/jobs/JobSource.js"

export const ack = { _tag: "Ack" } as const

/** Claims the next job, and waits for one as a pool does. */
export const take = (queue: JobQueue): Effect.Effect<Claim, unknown> =>
  Effect.flatMap(
    queue.claim(1),
    ([claim]) => claim === undefined ? Effect.zipRight(queue.wait, take(queue)) : Effect.succeed(claim)
  )

/** Runs `take` on a fiber, and returns once that fiber waits for a job. */
export const takeWaiting = (queue: JobQueue) =>
  Effect.gen(function*() {
    const waiting = yield* Effect.makeLatch()
    yield* queue.claim(1)
    const fiber = yield* Effect.fork(take({ ...queue, wait: Effect.zipRight(waiting.open, queue.wait) }))
    yield* waiting.await
    return fiber
  })

/** Runs each operation of a queue, and returns its name with the tag of its error. */
export const everything = (queue: JobQueue, claim: Claim) =>
  Effect.all({
    offer: Effect.flip(queue.offer(["new"])),
    claim: Effect.flip(queue.claim(1)),
    ack: Effect.flip(queue.transact(claim, Effect.void, ack)),
    retry: Effect.flip(queue.retry(claim, { delay: Duration.zero, error: "no" })),
    deadLetter: Effect.flip(queue.deadLetter(claim, "no")),
    handBack: Effect.flip(queue.handBack([claim])),
    renew: Effect.flip(queue.renew([claim])),
    cancel: Effect.flip(queue.cancel([claim.id])),
    size: Effect.flip(queue.size),
    find: Effect.flip(queue.find(claim.id)),
    list: Effect.flip(queue.list({ state: "Waiting", limit: 1 })),
    depth: Effect.flip(queue.depth),
    setPaused: Effect.flip(queue.setPaused(true)),
    "deadLetters.list": Effect.flip(queue.deadLetters.list(1)),
    "deadLetters.get": Effect.flip(queue.deadLetters.get(claim.id)),
    "deadLetters.redrive": Effect.flip(queue.deadLetters.redrive([claim.id])),
    "deadLetters.discard": Effect.flip(queue.deadLetters.discard([claim.id]))
  }).pipe(Effect.map((errors) => Object.entries(errors).map(([name, { _tag }]) => `${name}: ${_tag}`)))

const operations = [
  "offer",
  "claim",
  "ack",
  "retry",
  "deadLetter",
  "handBack",
  "renew",
  "cancel",
  "size",
  "find",
  "list",
  "depth",
  "setPaused"
]
/** The result of `everything` while the engine is unavailable. */
export const allFailed = [...operations, ...["list", "get", "redrive", "discard"].map((name) => `deadLetters.${name}`)]
  .map((name) => `${name}: JobSourceError`)
