import { type Fiber, FiberRef, type Scheduler } from "effect"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/**
 * A scheduler that counts the points of a run and calls `atPoint` at one of them.
 *
 * Effect's run loop calls `shouldYield` before each operation of a fiber, so each call is a point at which another fiber
 * can act. At the chosen point the fiber is paused, `atPoint` and the tasks it schedules run, and then the paused fiber and
 * the other tasks continue in the order they had: nothing else differs from an undisturbed run. A moment at which every
 * fiber waits is a point as well, because that is when signals arrive in practice.
 *
 * Tasks run synchronously in `flush`, in the order in which they were scheduled; priorities are ignored. So every run of the
 * same program has the same points.
 *
 * @internal
 */
export class PointScheduler implements Scheduler.Scheduler {
  /** Points passed so far. */
  points = 0
  /** Called at the chosen point, before `atPoint`, with the fiber about to run, or with undefined when every fiber waits. */
  onPoint: (fiber: AnyFiber | undefined) => void = () => {}
  /** Called at the chosen point. */
  atPoint: () => void = () => {}

  /** The number of operations after a resumption that are no points, except the first; see `strict` of `Interruption.explore`. */
  settling = 0
  /** Whether the fiber is about to run an operation that is a point all the same. */
  isAlwaysPoint: (fiber: AnyFiber) => boolean = () => false

  private queue: Array<Scheduler.Task> = []
  private chosen = 0
  private counting = false
  private stopped = false
  private remaining = Number.POSITIVE_INFINITY
  private waitCounted = false
  private due = false
  private pausedFiber: AnyFiber | undefined
  private pausedTask: Scheduler.Task | undefined

  /** Starts counting. The `chosen`-th point is the one at which `atPoint` is called; zero chooses none. */
  startCount(chosen: number) {
    this.counting = true
    this.chosen = chosen
  }

  /** Stops counting: what runs from here on has no points. */
  endCount() {
    this.counting = false
  }

  /** Limits the operations from here on. Past the limit the scheduler stops, so that an endless loop cannot block the test. */
  limit(operations: number) {
    this.remaining = operations
  }

  /** Drops every task and accepts no more: each fiber keeps what it holds, without a release. */
  stop() {
    this.stopped = true
    this.queue = []
  }

  /** Whether `stop` was called or the limit was reached. */
  get isStopped(): boolean {
    return this.stopped
  }

  get hasWork(): boolean {
    return this.queue.length > 0 || this.due
  }

  shouldYield(fiber: AnyFiber): number | false {
    if (this.stopped) return 0
    if (this.remaining-- <= 0) {
      this.stop()
      return 0
    }
    if (this.counting && this.isPoint(fiber) && ++this.points === this.chosen) {
      this.reach(fiber)
      return 0
    }
    return fiber.currentOpCount > fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield) ? 0 : false
  }

  scheduleTask(task: Scheduler.Task, _priority: number, fiber?: AnyFiber) {
    if (this.stopped) return
    if (fiber !== undefined && fiber === this.pausedFiber) {
      this.pausedTask = task
      this.pausedFiber = undefined
    } else {
      this.queue.push(task)
    }
  }

  /** Runs tasks until every fiber waits or has ended. */
  flush() {
    while (this.hasWork && !this.stopped) {
      if (this.due) this.disturb()
      const task = this.queue.shift()
      this.waitCounted = false
      task?.()
    }
  }

  /** Counts the moment at which every fiber waits, once. True when it was the chosen point. */
  countWait(): boolean {
    if (!this.counting || this.stopped || this.waitCounted) return false
    this.waitCounted = true
    if (++this.points !== this.chosen) return false
    this.reach(undefined)
    return true
  }

  private isPoint(fiber: AnyFiber): boolean {
    return fiber.currentOpCount <= 1 || fiber.currentOpCount > this.settling || this.isAlwaysPoint(fiber)
  }

  private reach(fiber: AnyFiber | undefined) {
    this.onPoint(fiber)
    this.pausedFiber = fiber
    this.due = true
  }

  private disturb() {
    this.due = false
    this.pausedFiber = undefined
    const others = this.queue
    this.queue = []
    this.atPoint()
    if (this.stopped) return
    if (this.pausedTask !== undefined) this.queue.push(this.pausedTask)
    this.pausedTask = undefined
    this.queue.push(...others)
  }
}
