import { Effect, Fiber, FiberRef } from "effect"
import { refsOf } from "./effectInternals.js"

/**
 * The fiber that the current one descends from, through forks of any kind: the one that `runMain`, or a function such as
 * `Effect.runFork`, has started. `Effect.run*` sets the context of its fiber, and each descendant inherits the entry.
 */
export const mainFiber: Effect.Effect<Fiber.RuntimeFiber<unknown, unknown>> = Effect.withFiberRuntime((fiber) =>
  Effect.map(Fiber.roots, (roots) => {
    const contexts = refsOf(fiber).locals.get(FiberRef.currentContext) ?? []
    const owners = contexts.toReversed().map(([id]) => roots.find((root) => root.id() === id))
    return owners.find((owner) => owner !== undefined) ?? fiber
  })
)
