import {
  Clock,
  Context,
  DefaultServices,
  Effect,
  type Exit,
  type Fiber,
  FiberRef,
  FiberRefs,
  Random,
  Runtime,
  RuntimeFlags,
  type Scheduler,
  type Supervisor
} from "effect"
import { ExploringScheduler } from "./exploringScheduler.js"
import type { InterruptionClock } from "./interruptionClock.js"
import { InterruptionTrace } from "./interruptionTrace.js"

/** Why a fiber will not end: all wait and no timer is set, or it went on for longer than it was allowed to. */
export type Unended = "Idle" | "Endless"

/** Turns of the event loop that promises get before everybody is said to wait for ever. */
const patience = 16

/** One turn of the real event loop: whatever promises had to say has been said after it. */
const turn = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

/**
 * Where the fibers of one run live: a scheduler, a clock, a source of randomness and a trace of their own.
 *
 * @internal
 */
export class InterruptionWorld<R> {
  private constructor(
    readonly scheduler: ExploringScheduler,
    readonly trace: InterruptionTrace,
    private readonly clock: InterruptionClock,
    private readonly runtime: Runtime.Runtime<R>
  ) {}

  /** Services, loggers and other fiber refs are those of the caller; interruption is on, whatever the caller's region. */
  static enter<R>(env: Runtime.Runtime<R>, clock: InterruptionClock): InterruptionWorld<R> {
    const scheduler = new ExploringScheduler()
    const trace = new InterruptionTrace()
    const services = FiberRefs.getOrDefault(env.fiberRefs, DefaultServices.currentServices).pipe(
      Context.add(Clock.Clock, clock),
      Context.add(Random.Random, Random.make("lastcall"))
    )
    const runtime = Runtime.make({
      context: env.context,
      fiberRefs: env.fiberRefs,
      runtimeFlags: RuntimeFlags.make(
        RuntimeFlags.Interruption,
        RuntimeFlags.CooperativeYielding,
        RuntimeFlags.OpSupervision
      )
    }).pipe(
      Runtime.setFiberRef(FiberRef.currentScheduler, scheduler as Scheduler.Scheduler),
      Runtime.setFiberRef(FiberRef.currentSupervisor, trace as Supervisor.Supervisor<unknown>),
      Runtime.setFiberRef(DefaultServices.currentServices, services)
    )
    return new InterruptionWorld(scheduler, trace, clock, runtime)
  }

  /** A fiber that starts in its turn. */
  fork<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(this.runtime)(effect, { immediate: false })
  }

  /** A fiber that starts at once. */
  start<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(this.runtime)(effect)
  }

  /** Runs an effect to its end. */
  complete<A, E>(effect: Effect.Effect<A, E, R>, operations: number): Effect.Effect<Exit.Exit<A, E> | Unended> {
    return Effect.suspend(() => this.ended(this.fork(effect), operations))
  }

  /** Runs everybody until the fiber has ended, or can be seen not to; time moves when nobody can run. */
  ended<A, E>(fiber: Fiber.RuntimeFiber<A, E>, operations: number): Effect.Effect<Exit.Exit<A, E> | Unended> {
    const { clock, scheduler } = this
    return Effect.gen(function*() {
      scheduler.allow(operations)
      let turns = 0
      while (true) {
        scheduler.flush()
        const exit = fiber.unsafePoll()
        if (exit !== null) return exit
        if (scheduler.isStopped) return "Endless"
        yield* turn
        if (scheduler.hasWork || scheduler.wait() || clock.advance()) turns = 0
        else if (++turns > patience) return "Idle"
      }
    })
  }

  /** Says what kept a fiber from ending. */
  missing(unended: Unended): string {
    return unended === "Idle"
      ? `all wait for ever: ${this.trace.waiting()}`
      : `too many operations, still there: ${this.trace.waiting()}`
  }
}
