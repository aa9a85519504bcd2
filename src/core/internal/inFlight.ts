import { Duration, Effect, Fiber } from "effect"

/** A running unit of work, and what its owner wants to know of it. */
export interface Unit<out D> {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly data: D
}

/** The units of work that one owner has running. A unit is in it until its fiber has exited, whatever that fiber does. */
export interface InFlight<in out D> {
  readonly size: () => number
  readonly units: () => ReadonlyArray<Unit<D>>
  readonly add: (fiber: Fiber.RuntimeFiber<unknown, unknown>, data: D) => void
  /**
   * Runs the effect on a fiber that belongs to this registry alone. It starts uninterruptibly, so that no interrupt comes
   * before what it has to do in any case: the effect says itself which part of it may be interrupted.
   */
  readonly fork: <A, E, R>(data: D, effect: Effect.Effect<A, E, R>) => Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R>
  /** Completes when no more than `count` units are left: a free slot, or with zero the end of all of them. */
  readonly awaitAtMost: (count: number) => Effect.Effect<void>
  readonly awaitEmpty: Effect.Effect<void>
  /** Interrupts every unit that is there now, without waiting for any of them to end. */
  readonly interrupt: Effect.Effect<void>
  /** Interrupts every unit and waits until all of them have exited. */
  readonly interruptAll: Effect.Effect<void>
}

/** Interrupting 100,000 fibers at once holds the event loop for a second, and no deadline is noticed meanwhile. */
const batch = 500

export const makeInFlight = <D>(): Effect.Effect<InFlight<D>> =>
  Effect.sync(() => {
    const running = new Set<Unit<D>>()
    const waiting = new Set<{ readonly count: number; readonly resume: () => void }>()

    const add = (fiber: Fiber.RuntimeFiber<unknown, unknown>, data: D) => {
      const unit = { fiber, data }
      running.add(unit)
      fiber.addObserver(() => {
        running.delete(unit)
        for (const waiter of waiting) {
          if (running.size <= waiter.count) {
            waiting.delete(waiter)
            waiter.resume()
          }
        }
      })
    }

    const awaitAtMost = (count: number) =>
      Effect.async<void>((resume) => {
        if (running.size <= count) return resume(Effect.void)
        const waiter = { count, resume: () => resume(Effect.void) }
        waiting.add(waiter)
        return Effect.sync(() => {
          waiting.delete(waiter)
        })
      })

    // Not to be given up halfway: who has no time left still wants everybody to be told.
    const interrupt = Effect.uninterruptible(Effect.fiberIdWith((id) =>
      Effect.forEach(
        Array.from(running),
        ({ fiber }, index) =>
          // A sleep, not a yield: timers and sockets must have their turn between two batches.
          Effect.zipRight(
            index > 0 && index % batch === 0 ? Effect.sleep(Duration.zero) : Effect.void,
            Fiber.interruptAsFork(fiber, id)
          ),
        { discard: true }
      )
    ))

    return {
      size: () => running.size,
      units: () => Array.from(running),
      add,
      fork: (data, effect) =>
        Effect.uninterruptible(Effect.tap(Effect.forkDaemon(effect), (fiber) => Effect.sync(() => add(fiber, data)))),
      awaitAtMost,
      awaitEmpty: awaitAtMost(0),
      interrupt,
      interruptAll: Effect.zipRight(interrupt, awaitAtMost(0))
    }
  })
