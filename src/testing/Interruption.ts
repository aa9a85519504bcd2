/**
 * Is there any point at which a signal would lose something?
 *
 * `explore` runs a program once for each of its operations, interrupts it exactly there, and names the points at which
 * your invariant does not hold afterwards, or after which the program never ends. `crash` asks the same of a process
 * that dies: it stops at each operation for good, then a restart runs on the state that is left.
 *
 * Every run has fresh state, a virtual clock (it jumps to the next timer when nobody can run, so sleeps, timeouts and
 * schedules take no real time), seeded randomness and a scheduler of its own: the n-th operation is the same one in
 * every run. The operations of all fibers count, of daemons too, and so does each moment at which all of them wait.
 *
 * What it does not cover: real I/O. A promise gets one turn of the event loop before the clock moves and sixteen before
 * a run is said to hang, which is enough for promises that resolve by themselves and not for sockets or disks. Nor does
 * it see what is kept from it: `Date.now`, `Math.random`, and fibers started on another runtime.
 *
 * @since 0.1.0
 */
import { Effect, type Exit, Fiber, FiberId, Schema, type Scope } from "effect"
import { formatPoints } from "./internal/interruptionFormat.js"
import type { Plan } from "./internal/interruptionRun.js"
import { survey } from "./internal/interruptionSurvey.js"

/**
 * A point of interruption: `at` is the operation, counted from 1 (0 is the run that was left alone), `running` the fiber,
 * its spans (name steps with `Effect.withSpan` or `Effect.fn`) and the operation it was about to run.
 *
 * @since 0.1.0
 * @category models
 */
export class Point extends Schema.Class<Point>("lastcall/Interruption/Point")({
  at: Schema.NonNegativeInt,
  running: Schema.String,
  reason: Schema.String
}) {}

/**
 * What an exploration found.
 *
 * - `operations`: how many points the program has.
 * - `explored`: how many of them were tried.
 * - `end`: what the program does when left alone: it completes, waits for ever (`Idle`), or goes on for ever
 *   (`Endless`; it was then followed for `maxOperations`).
 * - `broken`: where the invariant failed, and how. `hung`: where something never ended.
 *
 * @since 0.1.0
 * @category models
 */
export class Report extends Schema.Class<Report>("lastcall/Interruption/Report")({
  operations: Schema.NonNegativeInt,
  explored: Schema.NonNegativeInt,
  end: Schema.Literal("Completed", "Idle", "Endless"),
  broken: Schema.Array(Point),
  hung: Schema.Array(Point)
}) {
  /** Whether no point was found at which something goes wrong. */
  get safe(): boolean {
    return this.broken.length === 0 && this.hung.length === 0
  }

  override toString(): string {
    if (this.safe) return `safe at ${this.explored} of ${this.operations} points of interruption`
    const all = this.explored === this.operations ? "" : `, of ${this.operations} in all`
    const of = `of ${this.explored} explored points${all}`
    return [
      ...formatPoints(`broken at ${this.broken.length} ${of}`, this.broken),
      ...formatPoints(`hung at ${this.hung.length} ${of}`, this.hung)
    ].join("\n")
  }
}

/**
 * A program that is not safe; its message names the points.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnsafeInterruption extends Schema.TaggedError<UnsafeInterruption>()("UnsafeInterruption", {
  report: Report
}) {
  override get message(): string {
    return String(this.report)
  }
}

/**
 * How much is explored.
 *
 * - `sample`: the number of points, spread over all of them, the first and the last among them (default: every point).
 * - `seed`: picks others (default `0`).
 * - `maxOperations`: how far a run is followed after its point (default `10_000`). Past it the run counts as hung, so
 *   it also ends programs that spin.
 *
 * @since 0.1.0
 * @category models
 */
export interface Extent {
  readonly sample?: number
  readonly seed?: number | string
  readonly maxOperations?: number
}

const toReport = (found: Effect.Effect.Success<ReturnType<typeof survey>>): Report =>
  Report.make({
    ...found,
    broken: found.broken.map((point) => Point.make(point)),
    hung: found.hung.map((point) => Point.make(point))
  })

/**
 * Interrupts the program at every one of its operations and reports the points that break the invariant.
 *
 * - `setup` makes the state of one run. It is not explored; what it acquires is released when the run is judged.
 * - `program` is what is interrupted. Its scope closes as part of it.
 * - `invariant` looks at the state when the program has ended: any failure or defect of it says what was broken, so
 *   assertions can be used as they are. It runs on the same clock, and may sleep to let daemons finish.
 * - `inject` happens at the point instead of the interruption, for example a signal to an app under test.
 * - `strict` makes points of the 16 operations after a resumption too (default `false`). Effect's run loop lets others
 *   run where a fiber waits or after 2048 operations without waiting, so nothing can interrupt it there, and
 *   `Semaphore.withPermits` relies on it. Be strict where the steps of the test are shorter than the real ones.
 *
 * A program that waits for ever when left alone, as workers and servers do, is interrupted up to and including the
 * moment at which it waits.
 *
 * @example
 * ```ts
 * import { Effect, Queue, Ref } from "effect"
 * import { Interruption } from "lastcall/testing"
 *
 * const setup = Effect.gen(function*() {
 *   const queue = yield* Queue.unbounded<string>()
 *   yield* queue.offer("a")
 *   return { queue, done: yield* Ref.make<ReadonlyArray<string>>([]) }
 * })
 *
 * const report = Interruption.explore({
 *   setup,
 *   program: ({ done, queue }) =>
 *     Effect.flatMap(queue.take, (job) => Ref.update(done, (jobs) => [...jobs, job])),
 *   invariant: ({ done, queue }) =>
 *     Effect.gen(function*() {
 *       const jobs = (yield* Ref.get(done)).length + (yield* queue.size)
 *       if (jobs !== 1) yield* Effect.fail("the job was lost")
 *     })
 * })
 *
 * // in a test: fails, and names the points between the take and the update
 * report.pipe(Interruption.assertSafe)
 * ```
 *
 * @since 0.1.0
 * @category exploring
 */
export const explore = <S, A, E, ES, RS, RP, RI, RJ = never>(
  options: Extent & {
    readonly setup: Effect.Effect<S, ES, RS>
    readonly program: (state: S) => Effect.Effect<A, E, RP>
    readonly invariant: (state: S, exit: Exit.Exit<A, E>) => Effect.Effect<void, unknown, RI>
    readonly inject?: (state: S, root: Fiber.RuntimeFiber<A, E>) => Effect.Effect<void, never, RJ>
    readonly strict?: boolean
  }
): Effect.Effect<Report, ES, Exclude<RS | RP | RI, Scope.Scope> | RJ> => {
  const disturb = options.inject ??
    ((_: S, root: Fiber.RuntimeFiber<A, E>) => Fiber.interruptAsFork(root, FiberId.none))
  // the plan forgets what the program returns, and that a scope is provided: both are kept by the signature above
  const plan = { ...options, disturb } as unknown as Plan<S, ES, Exclude<RS | RP | RI, Scope.Scope> | RJ>
  return Effect.map(survey(plan, { strict: false, ...options }), toReport)
}

/**
 * Stops the program for good at every one of its operations, as a process that is killed does, then runs `restart` on
 * the state that is left, and reports the points after which the invariant does not hold.
 *
 * What `setup` returns is the store: what the dead process knew must not be in it, such as a queue with waiting takers.
 * The clock goes on from where the program was. A `restart` that never ends by itself, as a worker, is reported as hung:
 * bound it by `Effect.timeoutOption`, which takes no real time.
 *
 * @example
 * ```ts
 * import { Effect, Ref } from "effect"
 * import { Interruption } from "lastcall/testing"
 *
 * const transfer = (ledger: Ref.Ref<{ readonly done: boolean; readonly paid: number }>) =>
 *   Effect.gen(function*() {
 *     if ((yield* Ref.get(ledger)).done) return
 *     yield* Ref.update(ledger, (entry) => ({ ...entry, paid: entry.paid + 1 }))
 *     yield* Ref.update(ledger, (entry) => ({ ...entry, done: true }))
 *   })
 *
 * // names the points between the two updates, where a restart pays twice
 * const report = Interruption.crash({
 *   setup: Ref.make({ done: false, paid: 0 }),
 *   program: transfer,
 *   restart: transfer,
 *   invariant: (ledger) =>
 *     Effect.flatMap(Ref.get(ledger), ({ paid }) => paid === 1 ? Effect.void : Effect.fail(`paid ${paid} times`))
 * })
 * ```
 *
 * @since 0.1.0
 * @category exploring
 */
export const crash = <S, A, E, ES, RS, RP, RT, RI>(
  options: Extent & {
    readonly setup: Effect.Effect<S, ES, RS>
    readonly program: (state: S) => Effect.Effect<unknown, unknown, RP>
    readonly restart: (state: S) => Effect.Effect<A, E, RT>
    readonly invariant: (state: S, exit: Exit.Exit<A, E>) => Effect.Effect<void, unknown, RI>
  }
): Effect.Effect<Report, ES, Exclude<RS | RP | RT | RI, Scope.Scope>> =>
  Effect.map(survey(options as unknown as Plan<S, ES, Exclude<RS | RP | RT | RI, Scope.Scope>>, options), toReport)

/**
 * Fails with `UnsafeInterruption`, which names the points, unless the report is safe.
 *
 * @since 0.1.0
 * @category exploring
 */
export const assertSafe = <E, R>(
  self: Effect.Effect<Report, E, R>
): Effect.Effect<Report, E | UnsafeInterruption, R> =>
  Effect.filterOrFail(self, (report) => report.safe, (report) => new UnsafeInterruption({ report }))
