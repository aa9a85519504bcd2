import { Effect, type Fiber } from "effect"
import { turn } from "./eventLoop.js"

/** A unit of work in flight: its fiber, and the data that its owner attached. */
interface Unit<out D> {
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  readonly data: D
  interrupted: boolean
}

/** The units of work of one owner. A unit stays until its fiber has exited, interrupted or not. */
export interface InFlight<in out D> {
  readonly size: () => number
  readonly units: () => ReadonlyArray<Unit<D>>
  readonly add: (fiber: Fiber.RuntimeFiber<unknown, unknown>, data: D) => void
  /**
   * Runs the effect on a daemon fiber. It starts uninterruptibly, so that an early interrupt cannot skip its bookkeeping;
   * the effect marks its own interruptible part. `forked` is called before it starts.
   */
  readonly fork: <A, E, R>(
    data: D,
    effect: Effect.Effect<A, E, R>,
    forked?: (fiber: Fiber.RuntimeFiber<A, E>) => void
  ) => Effect.Effect<Fiber.RuntimeFiber<A, E>, never, R>
  /** Completes when at most `count` units are left. */
  readonly awaitAtMost: (count: number) => Effect.Effect<void>
  readonly awaitEmpty: Effect.Effect<void>
  /** Interrupts every current unit, without waiting for its exit. One that was interrupted before is left alone. */
  readonly interrupt: Effect.Effect<void>
  /** Interrupts every current unit, and waits until all units have exited. */
  readonly interruptAll: Effect.Effect<void>
}

/** Interrupting 100,000 fibers in one turn would block the event loop for seconds, and delay every deadline. This many end within a few milliseconds. */
const batch = 250

export const makeInFlight = <D>(): Effect.Effect<InFlight<D>> =>
  Effect.sync(() => {
    const running = new Set<Unit<D>>()
    const waiting = new Set<{ readonly count: number; readonly resume: () => void }>()

    const add = (fiber: Fiber.RuntimeFiber<unknown, unknown>, data: D) => {
      const unit = { fiber, data, interrupted: false }
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

    // Uninterruptible: past the deadline, every fiber must still be interrupted.
    const interrupt = Effect.uninterruptible(Effect.gen(function*() {
      const id = yield* Effect.fiberId
      const units = Array.from(running).filter(({ interrupted }) => !interrupted)
      for (let from = 0; from < units.length; from += batch) {
        // A turn, not a yield: timers and sockets must run between two batches.
        if (from > 0) yield* turn
        for (const unit of units.slice(from, from + batch)) {
          unit.interrupted = true
          unit.fiber.unsafeInterruptAsFork(id)
        }
      }
    }))

    return {
      size: () => running.size,
      units: () => Array.from(running),
      add,
      fork: (data, effect, forked) =>
        Effect.uninterruptible(Effect.flatMap(Effect.forkDaemon(effect), (fiber) => {
          add(fiber, data)
          forked?.(fiber)
          return Effect.succeed(fiber)
        })),
      awaitAtMost,
      awaitEmpty: awaitAtMost(0),
      interrupt,
      interruptAll: Effect.zipRight(interrupt, awaitAtMost(0))
    }
  })
