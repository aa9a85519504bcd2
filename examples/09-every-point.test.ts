// Is there any point at which a signal would lose something? Every operation of the program is tried.
//
// Run it:   npx vitest run examples/09-every-point.test.ts
// Press:    nothing: it ends by itself
// Prints:   the names of the tests, and that they passed
// Needs:    nothing
import { assert, it } from "@effect/vitest"
import { Effect, Queue, Ref } from "effect"
import { Interruption } from "lastcall/testing"

const setup = Effect.gen(function*() {
  const queue = yield* Queue.unbounded<string>()
  yield* queue.offer("the only job")
  return { queue, done: yield* Ref.make<ReadonlyArray<string>>([]) }
})

type State = Effect.Effect.Success<typeof setup>

const invariant = ({ done, queue }: State) =>
  Effect.gen(function*() {
    const jobs = (yield* Ref.get(done)).length + (yield* queue.size)
    if (jobs !== 1) return yield* Effect.fail("the job was lost")
  })

const finish = ({ done }: State, job: string) =>
  Effect.zipRight(Effect.sleep("1 second"), Ref.update(done, (jobs) => [...jobs, job]))

it.live("taking a job and then doing it loses it", () =>
  Effect.gen(function*() {
    const report = yield* Interruption.explore({
      setup,
      program: (state) => Effect.flatMap(state.queue.take, (job) => finish(state, job)),
      invariant
    })
    assert.isFalse(report.safe)
  }))

it.live("taking it under a promise to put it back does not", () =>
  Interruption.explore({
    setup,
    program: (state) =>
      Effect.acquireUseRelease(
        state.queue.take,
        (job) => finish(state, job),
        (job, exit) => exit._tag === "Failure" ? state.queue.offer(job) : Effect.void
      ),
    invariant
  }).pipe(Interruption.assertSafe))
