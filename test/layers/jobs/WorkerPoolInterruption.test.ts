import { assert, describe, it } from "@effect/vitest"
import { Effect, Ref } from "effect"
import type { JobQueue } from "../../../src/layers/jobs/JobSource.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import * as Crash from "../../../src/testing/Crash.js"
import * as Interruption from "../../../src/testing/Interruption.js"
import { long } from "../../kit/long.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Words extends WorkerPool.Tag("words")<Words, string, number>() {}

const words = ["returns", "completes", "checkpoints", "never ends"]

interface Written {
  readonly payload: unknown
  readonly attempt: number
}

/** Records the jobs as they are acknowledged, and before: a process may die in between. */
const recorded = (acked: Array<unknown>, written: Array<Written>) => (queue: JobQueue): JobQueue => ({
  ...queue,
  transact: (claim, writes, settlement) => {
    if (settlement._tag !== "Ack") return queue.transact(claim, writes, settlement)
    const { attempt, payload } = claim
    const recording = Effect.tap(writes, () => Effect.sync(() => void written.push({ payload, attempt })))
    return Effect.tap(queue.transact(claim, recording, settlement), () => Effect.sync(() => void acked.push(payload)))
  }
})

const setup = (durable: boolean) =>
  Effect.gen(function*() {
    const acked: Array<unknown> = []
    const written: Array<Written> = []
    const world = yield* makeWorld({ durable, wrap: recorded(acked, written) })
    const queue = yield* world.open("words")
    yield* queue.offer(words)
    return { acked, written, world, queue, permits: yield* Effect.makeSemaphore(2), held: yield* Ref.make(0) }
  })
type State = Effect.Effect.Success<ReturnType<typeof setup>>

const pool = ({ held, permits }: State, neverEnds: Effect.Effect<void> = Effect.never) =>
  Words.layer({
    concurrency: 2,
    drainTimeout: "3 seconds",
    process: (word, { checkpoint, complete }) => {
      const step = Effect.sleep("1 second")
      const work: Record<string, Effect.Effect<unknown, unknown>> = {
        "returns": step,
        "completes": Effect.zipRight(step, complete(Effect.yieldNow())),
        "checkpoints": Effect.repeatN(Effect.zipRight(step, checkpoint(1, Effect.yieldNow())), 2),
        "never ends": neverEnds
      }
      return Effect.acquireUseRelease(
        Ref.update(held, (_) => _ + 1),
        () => permits.withPermits(1)(work[word]!),
        () => Ref.update(held, (_) => _ - 1)
      )
    }
  })

/** Runs the pool for two seconds, unless it is interrupted before. */
const program = (state: State) => Effect.zipRight(state.world.scoped(pool(state)), Effect.sleep("2 seconds"))

const nothingLeaked = ({ held, permits }: State) =>
  Effect.gen(function*() {
    assert.strictEqual(yield* Ref.get(held), 0, "resources that were not released")
    yield* permits.withPermits(2)(Effect.void)
  })

const accounted = (waiting: ReadonlyArray<unknown>, { acked }: State) =>
  assert.deepStrictEqual([...acked, ...waiting].sort(), [...words].sort(), "acknowledged, or waiting in the queue")

describe("WorkerPool, interrupted at any point", () => {
  it.effect(
    "over a durable source, hands back the jobs that it did not finish, and leaks nothing",
    () =>
      Interruption.explore({
        setup: setup(true),
        program,
        invariant: (state: State) =>
          Effect.gen(function*() {
            const waiting = yield* state.queue.claim(9)
            accounted(waiting.map((_) => _.payload), state)
            assert.isTrue(waiting.every((_) => _.attempt === 1), "no attempt is lost")
            yield* nothingLeaked(state)
          }),
        ...(long ? {} : { sample: 100 })
      }).pipe(Interruption.assertSafe),
    300_000
  )

  it.effect(
    "over memory, finishes its jobs or counts them as cut, and leaks nothing",
    () =>
      Interruption.explore({
        setup: setup(false),
        program,
        invariant: (state: State) =>
          Effect.gen(function*() {
            const waiting = yield* state.queue.claim(9)
            accounted(waiting.map((_) => _.payload), state)
            const reports = yield* state.world.reports
            if (reports.length > 0) {
              assert.strictEqual(reports[0]!.cut, waiting.length, "the report counts all of them")
            }
            yield* nothingLeaked(state)
          }),
        ...(long ? {} : { sample: 100 })
      }).pipe(Interruption.assertSafe),
    300_000
  )

  it.effect(
    "and crashed there: the next process finishes the jobs, and each has lost at most one attempt",
    () =>
      Crash.explore({
        setup: setup(true),
        program,
        restart: (state: State) =>
          Effect.gen(function*() {
            // Only the store is left of the dead process: the permits that it held are lost.
            const fresh = yield* setup(true)
            yield* state.world.scoped(
              pool({ ...fresh, world: state.world }, Effect.void),
              fresh.world.lifecycle.shutdown
            )
            yield* Effect.sleep("40 seconds")
          }),
        invariant: (state: State) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* state.queue.claim(9), [])
            assert.isAtMost(Math.max(...state.written.map(({ attempt }) => attempt)), 2)
            assert.deepStrictEqual([...new Set(state.written.map(({ payload }) => payload))].sort(), [...words].sort())
            assert.deepStrictEqual(yield* state.queue.deadLetters.list(9), [])
          }),
        ...(long ? {} : { sample: 60 })
      }).pipe(Crash.assertSafe),
    300_000
  )
})
