/**
 * Finds the points at which an interruption or a signal would lose something. `Crash` does the same for a process that dies.
 *
 * `explore` runs a program once for each of its operations and interrupts it exactly there. It reports the points after which
 * your invariant does not hold, and those after which the program never ends.
 *
 * Each run has new state, a virtual clock, a seeded random number generator and a scheduler of its own, so the n-th operation
 * is the same one in every run. The clock jumps to the next timer when no fiber can run: sleeps, timeouts and schedules take no
 * real time. The operations of all fibers are points, including daemons, and so is each moment at which every fiber waits.
 *
 * **Promised.** A report of the same program is the same, on every machine. A program that never ends is reported, not awaited.
 *
 * **Not promised.** Real I/O: before the clock moves, promises get one turn of the event loop, and sixteen before a run counts
 * as hung; sockets and disks need more. `Date.now`, `Math.random` and fibers on another runtime are not controlled either.
 *
 * @module
 * @since 0.1.0
 */
import { Array as Arr, Effect, type Exit, Fiber, FiberId, Schema, type Scope } from "effect"
import { exploreAll, type Program } from "./internal/exploration.js"

/**
 * A point at which something goes wrong.
 *
 * - `at`: the number of the operation, from 1. It is 0 for the run without any interruption.
 * - `running`: the fiber, its spans, and the operation it was about to run. Name steps with `Effect.withSpan` or `Effect.fn`.
 * - `reason`: how the invariant failed, or what did not end.
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
 * The result of an exploration. `String(report)` lists its points, neighbours with the same reason as one range.
 *
 * - `operations`: how many points the program has.
 * - `explored`: how many of them were tried.
 * - `end`: what the program does without an interruption. It completes, waits forever (`Idle`), or runs forever (`Endless`;
 *   then only its first `maxOperations` operations are points).
 * - `broken`: the points after which the invariant fails.
 * - `hung`: the points after which the program, the invariant or the release of `setup` never ends.
 * - `hungInEffect`: those after which it never ends by a fault of Effect's: an interruption that arrives while a race, or an
 *   `Effect.all` or `Effect.forEach` with concurrency, begins. No code of the program runs then, and none can avoid it, so these
 *   points do not make a report unsafe. What the program does after them is not known.
 *
 * @since 0.1.0
 * @category models
 */
export class Report extends Schema.Class<Report>("lastcall/Interruption/Report")({
  operations: Schema.NonNegativeInt,
  explored: Schema.NonNegativeInt,
  end: Schema.Literal("Completed", "Idle", "Endless"),
  broken: Schema.Array(Point),
  hung: Schema.Array(Point),
  hungInEffect: Schema.Array(Point)
}) {
  /** Whether no point is broken or hung, except by a fault of Effect's. */
  get safe(): boolean {
    return this.broken.length === 0 && this.hung.length === 0
  }

  override toString(): string {
    const all = this.explored === this.operations ? "" : `, of ${this.operations} in all`
    const of = `of ${this.explored} explored points${all}`
    const safe = this.explored - this.hungInEffect.length
    return [
      ...this.safe ? [`safe at ${safe} of ${this.operations} points`] : [],
      ...formatPoints(`broken at ${this.broken.length} ${of}`, this.broken),
      ...formatPoints(`hung at ${this.hung.length} ${of}`, this.hung),
      ...formatPoints(`hung by a fault of Effect's at ${this.hungInEffect.length} ${of}`, this.hungInEffect)
    ].join("\n")
  }
}

/** How many ranges of points a report lists. */
const maxRanges = 20

/** Lists points. Neighbours with the same reason are one range, of which the first and the last point are shown. */
const formatPoints = (title: string, points: ReadonlyArray<Point>): ReadonlyArray<string> => {
  const ranges: Array<Arr.NonEmptyArray<Point>> = []
  for (const point of points) {
    const range = ranges.at(-1)
    if (range !== undefined && range[0].reason === point.reason && range.at(-1)?.at === point.at - 1) range.push(point)
    else ranges.push([point])
  }
  if (ranges.length === 0) return []
  const hidden = ranges.length - maxRanges
  return [
    `${title}:`,
    ...ranges.slice(0, maxRanges).flatMap((range) => {
      const first = range[0]
      const last = Arr.lastNonEmpty(range)
      return [
        `  ${first.reason.replaceAll("\n", "\n    ")}`,
        ...first === last
          ? [`    at ${first.at}: ${first.running}`]
          : [`    from ${first.at}: ${first.running}`, `    to ${last.at}: ${last.running}`]
      ]
    }),
    ...hidden > 0 ? [`  and ${hidden} more ranges`] : []
  ]
}

/**
 * The program is not safe. The message lists the points.
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
 * @since 0.1.0
 * @category models
 */
export interface Extent {
  /** The number of points to try, spread over all of them, including the first and the last. Every point by default. */
  readonly sample?: number
  /** Explores this point alone, such as the `at` of a point in an earlier report. */
  readonly at?: number
  /** Selects which points a sample has. `0` by default, so that a failure is reproducible. */
  readonly seed?: number | string
  /**
   * The number of operations after which a run counts as hung, counted from its point: this ends programs that loop
   * forever. `10_000` by default, more than most programs under test need and a fraction of a second.
   */
  readonly maxOperations?: number
}

/**
 * The report of what an exploration found.
 *
 * @internal
 */
export const toReport = (found: Effect.Effect.Success<ReturnType<typeof exploreAll>>): Report =>
  Report.make({
    ...found,
    broken: found.broken.map((point) => Point.make(point)),
    hung: found.hung.map((point) => Point.make(point)),
    hungInEffect: found.hungInEffect.map((point) => Point.make(point))
  })

/**
 * Interrupts the program at each of its operations, and reports the points after which the invariant does not hold.
 *
 * - `setup` makes the state of one run. It has no points itself. Its scope closes after the invariant.
 * - `program` is interrupted. Its scope closes as part of it.
 * - `invariant` checks the state after the program has ended. Any failure or defect is the reason of a broken point, so
 *   assertions can be used as they are. It runs on the same clock, and may sleep until daemons have finished.
 * - `inject` runs at the point in place of the interruption, for example to send a signal to an app under test.
 * - `strict` also makes points of the 16 operations after a resumption (default `false`). Effect's run loop switches fibers
 *   only where a fiber waits or after 2048 operations, so nothing can interrupt a fiber there, and `Semaphore.withPermits`
 *   relies on that. Be strict where the steps of the test stand for longer ones. The operation that adds a finalizer to a scope
 *   is always a point, so an acquire that an interruption can separate from its finalizer is found.
 *
 * A program that waits forever, as workers and servers do, is interrupted up to and including the moment at which it waits.
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
 * // in a test: fails, and lists the points between the take and the update
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
  // Program erases the result of the program and provides its scope; the signature above keeps both.
  const program = { ...options, disturb } as unknown as Program<S, ES, Exclude<RS | RP | RI, Scope.Scope> | RJ>
  return Effect.map(exploreAll(program, { strict: false, ...options }), toReport)
}

/**
 * Fails with `UnsafeInterruption`, whose message lists the points, unless the report is safe.
 *
 * @since 0.1.0
 * @category exploring
 */
export const assertSafe = <E, R>(
  self: Effect.Effect<Report, E, R>
): Effect.Effect<Report, E | UnsafeInterruption, R> =>
  Effect.filterOrFail(self, (report) => report.safe, (report) => new UnsafeInterruption({ report }))
