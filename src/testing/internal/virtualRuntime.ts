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
import { FiberTrace } from "./fiberTrace.js"
import { PointScheduler } from "./pointScheduler.js"
import type { VirtualClock } from "./virtualClock.js"

/** Why a fiber does not end: every fiber waits and no timer is set, or the limit of operations was reached. */
export type Unended = "Idle" | "Endless"

/** Turns of the event loop without any progress after which every fiber is considered to wait forever. */
const maxIdleTurns = 16

/** One turn of the real event loop, in which promises settle. */
const turn = Effect.async<void>((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

/**
 * Runs fibers on a scheduler, a clock, a random number generator and a trace of their own. Time moves only when no fiber can
 * run, and then jumps to the next timer.
 *
 * @internal
 */
export class VirtualRuntime<R> {
  private constructor(
    readonly scheduler: PointScheduler,
    readonly trace: FiberTrace,
    private readonly clock: VirtualClock,
    private readonly runtime: Runtime.Runtime<R>
  ) {}

  /** Keeps the caller's services, loggers and fiber refs. Its fibers are interruptible, also when the caller is not. */
  static make<R>(env: Runtime.Runtime<R>, clock: VirtualClock): VirtualRuntime<R> {
    const scheduler = new PointScheduler()
    const trace = new FiberTrace()
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
    return new VirtualRuntime(scheduler, trace, clock, runtime)
  }

  /** Starts a fiber behind the tasks that are already scheduled. */
  fork<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(this.runtime)(effect, { immediate: false })
  }

  /** Starts a fiber at once. */
  forkNow<A, E>(effect: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E> {
    return Runtime.runFork(this.runtime)(effect)
  }

  /** Runs an effect to its end, for at most so many operations. */
  run<A, E>(effect: Effect.Effect<A, E, R>, maxOperations: number): Effect.Effect<Exit.Exit<A, E> | Unended> {
    return Effect.suspend(() => this.await(this.fork(effect), maxOperations))
  }

  /** Runs every fiber until this one has ended or cannot end. */
  await<A, E>(fiber: Fiber.RuntimeFiber<A, E>, maxOperations: number): Effect.Effect<Exit.Exit<A, E> | Unended> {
    const { clock, scheduler } = this
    return Effect.gen(function*() {
      scheduler.limit(maxOperations)
      let idleTurns = 0
      while (true) {
        scheduler.flush()
        const exit = fiber.unsafePoll()
        if (exit !== null) return exit
        if (scheduler.isStopped) return "Endless"
        yield* turn
        if (scheduler.hasWork || scheduler.countWait() || clock.advance()) idleTurns = 0
        else if (++idleTurns > maxIdleTurns) return "Idle"
      }
    })
  }

  /** Describes why a fiber did not end. */
  describe(unended: Unended): string {
    return unended === "Idle"
      ? `every fiber waits forever: ${this.trace.waiting()}`
      : `too many operations; still running: ${this.trace.waiting()}`
  }
}
