import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FiberRef } from "effect"
import { withContext } from "../../../src/core/internal/fiberState.js"

class Port extends Context.Tag("Port")<Port, number>() {}

describe("An effect with another context", () => {
  const portOf = Effect.map(Effect.serviceOption(Port), (port) => port._tag === "Some" ? port.value : "none")

  it.effect("leaves its caller the context that it had, however it ends", () =>
    Effect.gen(function*() {
      const context = Context.make(Port, 2)
      assert.strictEqual(yield* withContext(context, portOf), 2)
      assert.strictEqual(yield* portOf, 1)
      assert.strictEqual(yield* Effect.flip(withContext(context, Effect.fail("no"))), "no")
      assert.strictEqual(yield* portOf, 1)
    }).pipe(Effect.provideService(Port, 1)))

  it.effect("leaves its caller the fiber refs that it has set, and the context as it was", () =>
    Effect.gen(function*() {
      const ref = FiberRef.unsafeMake("a")
      yield* withContext(Context.make(Port, 2), Effect.zipRight(FiberRef.set(ref, "b"), portOf))
      assert.strictEqual(yield* FiberRef.get(ref), "b")
      assert.strictEqual(yield* portOf, "none")
    }))
})
