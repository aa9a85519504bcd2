import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { JobEvent } from "../../../src/layers/jobs/JobEvent.js"
import * as WorkerPool from "../../../src/layers/jobs/WorkerPool.js"
import { until } from "../../kit/until.js"
import { makeWorld } from "./WorkerPoolWorld.js"

class Letters extends WorkerPool.Tag("letters")<Letters, string>() {}

const jobs = 5000

/** How many events of each kind come between two turns of the event loop, at most. */
const countInTurns = Effect.acquireRelease(
  Effect.sync(() => {
    const most: Partial<Record<JobEvent["_tag"], number>> = {}
    let inThisTurn: typeof most = {}
    const loop = {
      most,
      next: undefined as NodeJS.Immediate | undefined,
      onEvent: ({ _tag }: JobEvent) => {
        const count = (inThisTurn[_tag] ?? 0) + 1
        inThisTurn[_tag] = count
        most[_tag] = Math.max(most[_tag] ?? 0, count)
        return Effect.void
      }
    }
    const turn = () => {
      inThisTurn = {}
      loop.next = setImmediate(turn)
    }
    turn()
    return loop
  }),
  ({ next }) => Effect.sync(() => clearImmediate(next))
)

describe(`A pool that interrupts ${jobs} jobs`, () => {
  it.scopedLive("lets the event loop turn while they end, and while they are handed back", () =>
    Effect.gen(function*() {
      const { build, open, reports } = yield* makeWorld({ durable: true, capacity: jobs })
      yield* Effect.flatMap(open("letters"), (queue) => queue.offer(Array.from({ length: jobs }, () => "a")))
      const { most, onEvent } = yield* countInTurns
      const { context, stop } = yield* build(Letters.layer({
        concurrency: jobs,
        drainTimeout: "1 millis",
        process: () => Effect.never,
        onEvent
      }))
      yield* until("all jobs run", Effect.map(Letters.status, ({ inFlight }) => inFlight === jobs)).pipe(
        Effect.provide(context)
      )
      yield* stop
      const [report] = yield* reports
      assert.strictEqual(report?.handedBack, jobs)
      assert.isAtMost(most.Interrupted ?? Infinity, 500)
      assert.isAtMost(most.HandedBack ?? Infinity, 1000)
    }))
})
