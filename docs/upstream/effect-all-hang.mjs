// effect 3.22.4: Effect.all with concurrency, interrupted at the yield of its fiber's operation budget, never ends.
import { Effect, Fiber } from "effect"

let hangs = 0
for (let operations = 0; operations < 2048; operations++) {
  let effect = Effect.all([Effect.never, Effect.never], { concurrency: 2 })
  // The stock scheduler lets a fiber yield after 2048 operations: one of these runs yields inside of Effect.all.
  for (let n = 0; n < operations; n++) {
    const next = effect
    effect = Effect.suspend(() => next)
  }
  const fiber = Effect.runFork(effect)
  Effect.runFork(Fiber.interruptFork(fiber))
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve))
  if (fiber.unsafePoll() === null) hangs++
}
console.log("expected: 0 of 2048 fibers run on after their interruption")
console.log(`actual:   ${hangs} of 2048 fibers run on after their interruption`)
process.exit(hangs === 0 ? 0 : 1)
