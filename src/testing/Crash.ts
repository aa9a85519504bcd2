/**
 * Finds the points at which the death of the process would lose something, or do it twice.
 *
 * `explore` runs a program once for each of its operations and stops it exactly there, for good: nothing that was scheduled runs
 * any more, no finalizer, no timer. Then it starts the next process on the store that is left, and checks your invariant.
 *
 * Runs are those of `Interruption.explore`: in virtual time, on a scheduler of their own, so that a report is the same on every
 * machine.
 *
 * @module
 * @since 0.1.0
 */
import { Effect, type Exit, Schema, type Scope } from "effect"
import { exploreAll, type Program } from "./internal/exploration.js"
import { type Extent, Report, toReport } from "./Interruption.js"

/**
 * A process that dies at one of the listed points leaves the store so that the next one breaks the invariant, or never ends.
 *
 * @since 0.1.0
 * @category errors
 */
export class UnsafeCrash extends Schema.TaggedError<UnsafeCrash>()("UnsafeCrash", { report: Report }) {
  override get message(): string {
    return String(this.report)
  }
}

/**
 * Stops the program at each of its operations, as SIGKILL stops a process, then runs `restart` on the store that is left, and
 * reports the points after which the invariant does not hold. A point names the operation that the dead process did not run any
 * more.
 *
 * - `setup` makes the store of one run. It has no points itself, and its scope closes after the invariant.
 * - `program` is the process that dies. It can also live to its end: then `restart` runs after it, as the point 0.
 * - `restart` is the next process. It gets the same store. What its machine would do before, such as to end the transactions of
 *   connections that were cut, is its first step. The clock continues from the crash. A `restart` that never ends, such as a
 *   worker, is reported as hung: bound it with `Effect.timeoutOption`, which takes no real time.
 * - `invariant` checks the store. Any failure or defect is the reason of a broken point.
 *
 * **Promised.** Nothing of the dead process runs after its point, on any of its fibers.
 *
 * **Not promised.** That promises have stopped: an `async` function goes on to its end, as a server goes on with a statement that
 * it has received. What fibers shared outside of the store, such as a module's variable, is not reset. The store must not hold
 * what a dead process takes along, such as a semaphore with its permits, or a queue with waiting takers.
 *
 * @example
 * ```ts
 * import { Effect, Ref } from "effect"
 * import { Crash } from "lastcall/testing"
 *
 * const transfer = (ledger: Ref.Ref<{ readonly done: boolean; readonly paid: number }>) =>
 *   Effect.gen(function*() {
 *     if ((yield* Ref.get(ledger)).done) return
 *     yield* Ref.update(ledger, (entry) => ({ ...entry, paid: entry.paid + 1 }))
 *     yield* Ref.update(ledger, (entry) => ({ ...entry, done: true }))
 *   })
 *
 * // lists the points between the two updates, after which a restart pays twice
 * const report = Crash.explore({
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
export const explore = <S, A, E, ES, RS, RP, RT, RI>(
  options: Extent & {
    readonly setup: Effect.Effect<S, ES, RS>
    readonly program: (store: S) => Effect.Effect<unknown, unknown, RP>
    readonly restart: (store: S) => Effect.Effect<A, E, RT>
    readonly invariant: (store: S, exit: Exit.Exit<A, E>) => Effect.Effect<void, unknown, RI>
  }
): Effect.Effect<Report, ES, Exclude<RS | RP | RT | RI, Scope.Scope>> =>
  Effect.map(
    exploreAll(options as unknown as Program<S, ES, Exclude<RS | RP | RT | RI, Scope.Scope>>, options),
    toReport
  )

/**
 * Fails with `UnsafeCrash`, whose message lists the points, unless the report is safe.
 *
 * @since 0.1.0
 * @category exploring
 */
export const assertSafe = <E, R>(self: Effect.Effect<Report, E, R>): Effect.Effect<Report, E | UnsafeCrash, R> =>
  Effect.filterOrFail(self, (report) => report.safe, (report) => new UnsafeCrash({ report }))
