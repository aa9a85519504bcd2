import { type Fiber, FiberRef, type Scheduler } from "effect"

/**
 * A scheduler that counts the operations of every fiber that runs on it and, at one of them, lets something happen.
 *
 * Effect's run loop asks `shouldYield` before each operation, so the k-th question is the k-th point at which the world
 * may look different. There the fiber that was about to go on is held, `atPoint` runs with all it schedules, and then
 * the held fiber and everybody else go on in the order they had: the run differs from an undisturbed one by that
 * alone. A moment at which every fiber waits is a point as well, for that is when signals come in practice.
 *
 * Tasks run in the order in which they were scheduled (scheduling priorities are not looked at), synchronously in
 * `flush`, so a run is the same every time.
 *
 * @internal
 */
export class ExploringScheduler implements Scheduler.Scheduler {
  /** Points passed so far. */
  points = 0
  /** Called at the chosen point, before `atPoint`, with the fiber that was about to run, or none when all wait. */
  onPoint: (fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined) => void = () => {}
  /** What happens at the chosen point. */
  atPoint: () => void = () => {}

  /** Operations after a resumption that are no points, the first aside: see `strict` of `Interruption.explore`. */
  settling = 0

  private queue: Array<Scheduler.Task> = []
  private chosen = 0
  private counting = false
  private stopped = false
  private allowance = Number.POSITIVE_INFINITY
  private waitCounted = false
  private due = false
  private pausedFiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
  private heldTask: Scheduler.Task | undefined

  /** Counts points from here on; the `chosen`-th is the one. Zero chooses none. */
  count(chosen: number) {
    this.counting = true
    this.chosen = chosen
  }

  /** Ends the counting: what follows is not explored. */
  endCount() {
    this.counting = false
  }

  /** Grants so many operations from here on. Past them the scheduler stops, so that a loop cannot hold the test. */
  allow(operations: number) {
    this.allowance = operations
  }

  /** Nothing runs any more, and nothing ever will: what fibers still hold, they hold. */
  stop() {
    this.stopped = true
    this.queue = []
  }

  /** Whether it was stopped, or stopped itself when the allowance was used up. */
  get isStopped(): boolean {
    return this.stopped
  }

  get hasWork(): boolean {
    return this.queue.length > 0 || this.due
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    if (this.stopped) return 0
    if (this.allowance-- <= 0) {
      this.stop()
      return 0
    }
    if (this.counting && this.isPoint(fiber) && ++this.points === this.chosen) {
      this.reach(fiber)
      return 0
    }
    return fiber.currentOpCount > fiber.getFiberRef(FiberRef.currentMaxOpsBeforeYield) ? 0 : false
  }

  scheduleTask(task: Scheduler.Task, _priority: number, fiber?: Fiber.RuntimeFiber<unknown, unknown>) {
    if (this.stopped) return
    if (fiber !== undefined && fiber === this.pausedFiber) {
      this.heldTask = task
      this.pausedFiber = undefined
    } else {
      this.queue.push(task)
    }
  }

  /** Runs what can run, until every fiber waits or has ended. */
  flush() {
    while (this.hasWork && !this.stopped) {
      if (this.due) this.disturb()
      const task = this.queue.shift()
      this.waitCounted = false
      task?.()
    }
  }

  /** Counts the moment at which every fiber waits, once; says whether it was the chosen point. */
  wait(): boolean {
    if (!this.counting || this.stopped || this.waitCounted) return false
    this.waitCounted = true
    if (++this.points !== this.chosen) return false
    this.reach(undefined)
    return true
  }

  private isPoint({ currentOpCount }: Fiber.RuntimeFiber<unknown, unknown>): boolean {
    return currentOpCount <= 1 || currentOpCount > this.settling
  }

  private reach(fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined) {
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
    if (this.heldTask !== undefined) this.queue.push(this.heldTask)
    this.heldTask = undefined
    this.queue.push(...others)
  }
}
