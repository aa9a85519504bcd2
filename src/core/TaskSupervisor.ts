/**
 * Fire-and-forget tasks with an owner: they finish within a bound before what they use is released.
 *
 * Fibers of `Effect.forkDaemon` in HTTP handlers, jobs and tasks finish too, within `daemonTimeout`. Use a task where the
 * loss of the work must be seen: a task has the bound that you set, its failure is logged, and one that is cut makes the
 * exit code 1. A daemon that is interrupted does not, because a loop without end is interrupted at every shutdown.
 *
 * A task lives in memory: it is lost when the process dies. For work that must survive, use a job of a `WorkerPool`.
 *
 * @module
 * @since 0.1.0
 */
import { Cause, Config, type ConfigError, Context, Effect, type Exit, type Fiber, Layer, Runtime, Schema } from "effect"
import type { Scope } from "effect"
import * as Drain from "./Drain.js"
import { defaultDaemonTimeout, makeDaemons } from "./internal/daemons.js"
import { type InFlight, makeInFlight } from "./internal/inFlight.js"
import type { BudgetError } from "./ShutdownConfig.js"

/**
 * The supervisor has drained, or interrupts its tasks: the task was not started.
 *
 * @since 0.1.0
 * @category errors
 */
export class TaskRefused extends Schema.TaggedError<TaskRefused>()("TaskRefused", { supervisor: Schema.String }) {
  override get message() {
    return `${this.supervisor}: the task was refused, its supervisor has ended`
  }
}

/**
 * The service behind the `TaskSupervisor` tag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Starts a task on a fiber of its own, and returns at once. The task has its own scope, closed when it ends. Its failure
   * is logged.
   *
   * Tasks are accepted until none is in flight in a drain, so that work in flight can still start tasks; later ones fail
   * with `TaskRefused`.
   */
  readonly run: <A, E, R>(task: Effect.Effect<A, E, R>) => Effect.Effect<void, TaskRefused, Exclude<R, Scope.Scope>>
}

/**
 * The supervisor of the current code; in an HTTP handler, that of its server. Without one, the caller runs the task in
 * place and waits for it.
 *
 * @since 0.1.0
 * @category tags
 */
export class TaskSupervisor extends Context.Reference<TaskSupervisor>()("lastcall/TaskSupervisor", {
  defaultValue: (): Service => ({
    run: (task) => Effect.asVoid(Effect.exit(Effect.tapErrorCause(Effect.scoped(task), logFailure("task"))))
  })
}) {}

/**
 * The name and the timeouts of a supervisor.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Drain.Timeouts {
  /** The name of the supervisor in logs and in the report. */
  readonly name: string
}

interface Supervisor {
  readonly tasks: InFlight<void>
  /** Logs the failure of an accepted task, and counts its end. */
  readonly supervised: <A, E, R>(task: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly accept: () => boolean
  readonly refused: TaskRefused
}

const logFailure = (name: string) => (cause: Cause.Cause<unknown>) =>
  Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logError(`${name}: a task failed`, cause)

/** Counts a task as cut if the supervisor interrupted it, otherwise as finished. */
const makeSupervisor = ({ name, ...timeouts }: Options): Effect.Effect<Supervisor, BudgetError, Scope.Scope> =>
  Effect.gen(function*() {
    // Released after the tasks.
    const daemons = yield* makeDaemons({ name, daemonTimeout: defaultDaemonTimeout, releaseTimeout: timeouts.releaseTimeout })
    const tasks = yield* makeInFlight<void>()
    const counts = { finished: 0, cut: 0 }
    let open = true
    let interrupting = false
    const close = Effect.sync(() => {
      open = false
    })
    /** Closes in the same step in which it sees no task in flight, so that none can start in between. */
    const drain: Effect.Effect<void> = Effect.flatMap(
      tasks.awaitEmpty,
      () => Effect.suspend(() => tasks.size() === 0 ? close : drain)
    )
    yield* Drain.acquire({
      ...timeouts,
      name,
      acquire: Effect.void,
      drain: () => drain,
      interrupt: () =>
        Effect.suspend(() => {
          interrupting = true
          return Effect.zipRight(close, tasks.interruptAll)
        }),
      release: () => close,
      progress: () => ({ inFlight: tasks.size(), finished: counts.finished, handedBack: 0, cut: counts.cut })
    })
    const count = (exit: Exit.Exit<unknown, unknown>) =>
      Effect.sync(() => {
        const cut = interrupting && exit._tag === "Failure" && Cause.isInterrupted(exit.cause)
        counts[cut ? "cut" : "finished"]++
      })
    return {
      tasks,
      supervised: <A, E, R>(task: Effect.Effect<A, E, R>) =>
        Effect.onExit(Effect.tapErrorCause(Effect.interruptible(daemons.own(task)), logFailure(name)), count),
      accept: () => {
        if (!open) counts.cut++
        return open
      },
      refused: new TaskRefused({ supervisor: name })
    }
  })

/**
 * Makes a supervisor that drains when the current scope closes: its tasks finish within `drainTimeout`, or are interrupted
 * and reported as cut. Make it in the scope of the code that starts the tasks, so that what the tasks use is released
 * after them.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskSupervisor } from "lastcall"
 *
 * const program = Effect.gen(function*() {
 *   const tasks = yield* TaskSupervisor.make({ name: "mails", drainTimeout: "5 seconds" })
 *   yield* tasks.run(Effect.log("sent, also when the caller has ended"))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, BudgetError, Scope.Scope> =>
  Effect.map(makeSupervisor(options), ({ accept, refused, supervised, tasks }) => ({
    run: (task) => Effect.suspend(() => accept() ? tasks.fork(void 0, supervised(Effect.scoped(task))) : refused)
  }))

/**
 * A supervisor for callbacks that are not effects, as `FiberSet.makeRuntime`: the function runs a task with the services
 * of the current context. A refused task is a fiber that fails with `TaskRefused`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeRuntime = <R = never>(
  options: Options
): Effect.Effect<<A, E>(task: Effect.Effect<A, E, R>) => Fiber.RuntimeFiber<A, E | TaskRefused>, BudgetError, R | Scope.Scope> =>
  Effect.gen(function*() {
    const { accept, refused, supervised, tasks } = yield* makeSupervisor(options)
    const runFork = Runtime.runFork(yield* Effect.runtime<R>())
    return <A, E>(task: Effect.Effect<A, E, R>): Fiber.RuntimeFiber<A, E | TaskRefused> => {
      if (!accept()) return runFork(refused)
      const fiber = runFork(Effect.uninterruptible(supervised(task)))
      tasks.add(fiber, void 0)
      return fiber
    }
  })

/**
 * A supervisor for all layers above: `TaskSupervisor.fork` in them runs its tasks here. It drains after those layers are
 * released, so provide what the tasks use below it.
 *
 * @example
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { TaskSupervisor } from "lastcall"
 *
 * const Mailer = Layer.effectDiscard(TaskSupervisor.fork(Effect.log("sent")))
 *
 * const App = Mailer.pipe(Layer.provide(TaskSupervisor.layer({ name: "mails", drainTimeout: "5 seconds" })))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<TaskSupervisor, BudgetError> => Layer.scoped(TaskSupervisor, make(options))

/**
 * As `layer`, its options from a `Config`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  options: Config.Config.Wrap<Options>
): Layer.Layer<TaskSupervisor, BudgetError | ConfigError.ConfigError> =>
  Layer.scoped(TaskSupervisor, Effect.flatMap(Config.unwrap(options), make))

/**
 * Runs a task under the supervisor of the current code, and returns at once: for work of a handler that its client need
 * not wait for. Fork after a transaction, not inside it: a task keeps the services of the moment at which it starts.
 *
 * @example
 * ```ts
 * import { HttpServerResponse } from "@effect/platform"
 * import { Effect } from "effect"
 * import { TaskSupervisor } from "lastcall"
 *
 * const handler = Effect.gen(function*() {
 *   yield* TaskSupervisor.fork(Effect.log("sending a mail"))
 *   return HttpServerResponse.empty({ status: 202 })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fork = <A, E, R>(
  task: Effect.Effect<A, E, R>
): Effect.Effect<void, TaskRefused, Exclude<R, Scope.Scope>> =>
  Effect.flatMap(TaskSupervisor, (supervisor) => supervisor.run(task))
