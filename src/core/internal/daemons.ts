import { Cause, Context, Duration, Effect, Exit, Fiber, FiberRef, Option, type Scope, Tracer } from "effect"
import * as Drain from "../Drain.js"
import { Shutdown } from "../Shutdown.js"
import type { BudgetError } from "../ShutdownConfig.js"
import { drainable } from "./budget.js"
import { drainTimeouts } from "./drainTimeouts.js"
import { observersOf, observersOfForked } from "./effectInternals.js"
import { type RefValue, refValue } from "./fiberState.js"
import { makeInFlight } from "./inFlight.js"
import { unsafeMonotonicMillis } from "./monotonic.js"

type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

/** Why daemons are awaited for 5 seconds by default: fire-and-forget work is short, such as a mail or a row of an audit log. */
export const defaultDaemonTimeout: Duration.Duration = Duration.seconds(5)

interface Options {
  /** The name of the owner. The report of its daemons is named after it. */
  readonly name: string
  readonly daemonTimeout: Duration.Duration
  readonly releaseTimeout?: Duration.DurationInput | undefined
  /** Whether the owner itself runs and counts this fiber, as a server its handlers. */
  readonly isUnit?: (fiber: AnyFiber) => boolean
}

/** The daemons of one owner: of a server, or of a pool. */
export interface Daemons {
  /** Makes this the owner of every daemon that is forked in the effect, at any depth. */
  readonly own: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Makes this the owner of every daemon that a fiber forks, for as long as the fiber has this value. */
  readonly owner: RefValue
}

/** The owner of the daemons that the current fiber forks. Forks inherit it, so it costs nothing to pass it on. */
const currentOwner = FiberRef.unsafeMake<Daemons | undefined>(undefined)

/**
 * Whether nothing waits for the fiber, or ends it: a scope (`forkScoped`), a `FiberSet` and a fiber that joins it each add
 * an observer.
 */
const isUnobserved = (fiber: AnyFiber): boolean => observersOf(fiber).length <= observersOfForked

/** The span in which a daemon is, and its id. */
const describe = (fiber: AnyFiber): string => {
  const id = `#${fiber.id().id}`
  return Option.match(Context.getOption(fiber.currentContext as Context.Context<unknown>, Tracer.ParentSpan), {
    onNone: () => id,
    onSome: (span) => span._tag === "Span" ? `${span.name} ${id}` : id
  })
}

/**
 * Makes the owner of the daemons that its effects leave behind. When the current scope closes, they have `daemonTimeout`
 * to finish, then they are interrupted, and reported by name. Effect knows every fiber without a parent (`Fiber.roots`),
 * and fibers inherit the owner, so the daemons are searched for once, then.
 *
 * The time of a daemon that is there when the shutdown is requested counts from the request: an endless one costs its
 * timeout once, beside the delay before the drain and the drains of others. An interrupted daemon does not count as cut,
 * because endless ones are interrupted at every shutdown. One that ignores its interruption does. What it forks from then on is
 * found only when the next daemon ends.
 */
export const makeDaemons = (
  { daemonTimeout, isUnit = () => false, name, releaseTimeout }: Options
): Effect.Effect<Daemons, BudgetError, Scope.Scope> =>
  Effect.gen(function*() {
    const shutdown = yield* Shutdown
    const clock = yield* Effect.clock
    const timeout = Duration.min(daemonTimeout, drainable(shutdown.config))
    const running = yield* makeInFlight<{ readonly since: number }>()
    let drainTimeout = timeout
    let finished = 0
    let interrupting = false
    const daemons: Daemons = {
      own: (effect) => Effect.locally(effect, currentOwner, daemons),
      get owner() {
        return refValue(currentOwner, daemons)
      }
    }

    const count = (exit: Exit.Exit<unknown, unknown>) => {
      if (!interrupting || Exit.isSuccess(exit) || !Cause.isInterrupted(exit.cause)) finished++
    }
    /** Returns whether there are daemons. */
    const search = (): boolean => {
      const since = unsafeMonotonicMillis(clock)
      for (const fiber of Fiber.unsafeRoots()) {
        if (isUnobserved(fiber) && fiber.getFiberRef(currentOwner) === daemons && !isUnit(fiber)) {
          fiber.addObserver(count)
          running.add(fiber, { since })
        }
      }
      return running.size() > 0
    }
    const whileFound = (step: () => Effect.Effect<void>): Effect.Effect<void> =>
      Effect.whileLoop({ while: search, body: step, step: () => {} })

    /** Until one of them has ended: it may have forked others, and the rest may never end. */
    const interruptUntilNext = () => {
      interrupting = true
      return Effect.zipRight(running.interrupt, running.awaitAtMost(running.size() - 1))
    }

    /** Whether there are daemons to drain, in the time that the latest of them has left. */
    const needed = Effect.sync(() => {
      const found = search()
      const latest = running.units().reduce((latest, { data }) => data.since > latest ? data.since : latest, -Infinity)
      if (found) drainTimeout = Duration.subtract(timeout, Duration.millis(unsafeMonotonicMillis(clock) - latest))
      return found
    })
    const { releaseTimeout: explicit } = yield* drainTimeouts({ name, releaseTimeout })
    const timeouts = {
      releaseTimeout: explicit,
      get drainTimeout() {
        return Option.some(drainTimeout)
      }
    }
    // Registered before its owner, and so released after it, also where the scope does not close.
    yield* Effect.acquireRelease(
      Drain.makeRelease(
        {
          name: `${name} daemons`,
          drain: () => whileFound(() => running.awaitEmpty),
          interrupt: () => whileFound(interruptUntilNext),
          progress: () => ({ inFlight: running.size(), finished, handedBack: 0, cut: 0 }),
          names: () => {
            search()
            return running.units().map(({ fiber }) => describe(fiber))
          }
        },
        undefined,
        timeouts,
        needed
      ),
      ({ release }, exit) => release(exit)
    )
    yield* Effect.forkScoped(Effect.interruptible(Effect.map(shutdown.lameDuck, search)))
    return daemons
  })
