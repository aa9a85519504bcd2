import { Clock, Duration, Effect } from "effect"

interface Timer {
  readonly time: number
  readonly task: () => void
}

/**
 * A clock that stands still until `advance` moves it to its next timer. It starts at zero.
 *
 * @internal
 */
export class VirtualClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  private now = 0
  /** By time, and those of the same time in the order in which they were set. */
  private timers: Array<Timer> = []

  unsafeCurrentTimeMillis() {
    return this.now
  }

  unsafeCurrentTimeNanos() {
    return BigInt(Math.round(this.now * 1_000_000))
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  scheduler() {
    return Effect.succeed({
      unsafeSchedule: (task: () => void, duration: Duration.Duration) => this.schedule(task, duration)
    })
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async<void>((resume) => {
      const cancel = this.schedule(() => resume(Effect.void), duration)
      return Effect.sync(cancel)
    })
  }

  /** Moves to the next timer and fires it. False when no timer is set. */
  advance(): boolean {
    const next = this.timers.shift()
    if (next === undefined) return false
    this.now = Math.max(this.now, next.time)
    next.task()
    return true
  }

  /** Drops every timer: fibers that sleep never resume. */
  clear() {
    this.timers = []
  }

  private schedule(task: () => void, duration: Duration.Duration): () => boolean {
    if (!Duration.isFinite(duration)) return () => false
    const timer = { time: this.now + Duration.toMillis(duration), task }
    const index = this.timers.findIndex((other) => other.time > timer.time)
    this.timers.splice(index === -1 ? this.timers.length : index, 0, timer)
    return () => {
      const at = this.timers.indexOf(timer)
      if (at !== -1) this.timers.splice(at, 1)
      return at !== -1
    }
  }
}
