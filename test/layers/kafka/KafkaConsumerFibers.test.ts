import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FiberRef, FiberRefs, Schedule, TestClock } from "effect"
import { makeWorld, valueOf } from "./consumerWorld.js"

const ref = FiberRef.unsafeMake("initial")

/** How many fibers the refs of the current one came through, at most. */
const depth = Effect.map(Effect.getFiberRefs, (refs) => {
  let most = 0
  for (const ref of FiberRefs.fiberRefs(refs)) most = Math.max(most, refs.locals.get(ref)!.length)
  return most
})

describe("The fiber of a record", () => {
  it.scoped("has the refs of the consumer, whatever earlier records have left in theirs", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const seen: Array<string> = []
      yield* start({
        process: (record) =>
          Effect.flatMap(FiberRef.getAndSet(ref, valueOf(record)), (value) => Effect.sync(() => seen.push(value)))
      })
      kafka.append(0, [[null, "a"], [null, "b"], [null, "c"]])
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(seen, ["initial", "initial", "initial"])
    }))

  it.scoped("does not come through the fibers of all records before it, also after retries", () =>
    Effect.gen(function*() {
      const { kafka, settled, start } = yield* makeWorld
      const depths: Array<number> = []
      yield* start({
        concurrency: 1,
        retry: Schedule.spaced("1 second"),
        process: (_, { attempt }) =>
          Effect.flatMap(depth, (found) => attempt < 8 ? Effect.fail(depths.push(found)) : Effect.void)
      })
      kafka.append(0, [[null, "a"], [null, "b"], [null, "c"], [null, "d"]])
      yield* kafka.poll
      for (let second = 0; second < 40; second++) {
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      yield* settled
      assert.lengthOf(depths, 28)
      assert.deepStrictEqual(new Set(depths), new Set([depths[0]]))
    }))

  it.scoped("has the services of the layer", () =>
    Effect.gen(function*() {
      class Name extends Context.Tag("Name")<Name, string>() {}
      const { kafka, settled, start } = yield* makeWorld
      const names: Array<string> = []
      yield* start({ process: () => Effect.map(Effect.serviceOption(Name), (name) => names.push(name._tag)) }).pipe(
        Effect.provideService(Name, "ada")
      )
      kafka.append(0, [[null, "a"]])
      yield* kafka.poll
      yield* settled
      assert.deepStrictEqual(names, ["Some"])
    }))
})
