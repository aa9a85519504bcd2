/**
 * Fire-and-forget work, with an owner.
 *
 * @since 0.1.0
 */
import { Cause, Context, Effect, type Exit, type Fiber, Runtime, Schema, type Scope } from "effect"
import * as Drain from "./Drain.js"
import { type InFlight, makeInFlight } from "./internal/inFlight.js"

/**
 * The supervisor has ended, or is ending by interruption: the task was not started.
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
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Starts a task and returns at once. The task gets a scope of its own, closed when it ends. Its failure is logged.
   *
   * Accepted until the supervisor is drained, so that work in flight may still start tasks; refused afterwards.
   */
  readonly run: <A, E, R>(task: Effect.Effect<A, E, R>) => Effect.Effect<void, TaskRefused, Exclude<R, Scope.Scope>>
}

/**
 * The supervisor of the code that runs now: in an HTTP handler, that of the server. Where nobody provides one, a task
 * has no other owner than its caller, who then runs it in place and waits for it.
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
 * @since 0.1.0
 * @category models
 */
export interface Options extends Drain.Timeouts {
  /** How the supervisor is called in the report. */
  readonly name: string
}

interface Supervisor {
  readonly tasks: InFlight<void>
  /** What a task runs as, once it is accepted. */
  readonly supervised: <A, E, R>(task: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly accept: () => boolean
  readonly refused: TaskRefused
}

const logFailure = (name: string) => (cause: Cause.Cause<unknown>) =>
  Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logError(`${name}: a task failed`, cause)

/** Tasks are memory: what is interrupted by its supervisor is cut, everything else is finished. */
const makeSupervisor = ({ name, ...timeouts }: Options): Effect.Effect<Supervisor, never, Scope.Scope> =>
  Effect.gen(function*() {
    const tasks = yield* makeInFlight<void>()
    const counts = { finished: 0, cut: 0 }
    let open = true
    let interrupting = false
    const close = Effect.sync(() => {
      open = false
    })
    /** Closing and finding nothing in flight are one step: a task cannot slip in between. */
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
        Effect.onExit(Effect.tapErrorCause(Effect.interruptible(task), logFailure(name)), count),
      accept: () => {
        if (!open) counts.cut++
        return open
      },
      refused: new TaskRefused({ supervisor: name })
    }
  })

/**
 * Makes a supervisor whose end is the end of the current scope: there its tasks finish within their bound, or are
 * interrupted and reported as cut. Make it in the scope of who starts the tasks, so that whatever they use outlives them.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { TaskSupervisor } from "lastcall"
 *
 * const program = Effect.gen(function*() {
 *   const tasks = yield* TaskSupervisor.make({ name: "mails", drainTimeout: "5 seconds" })
 *   yield* tasks.run(Effect.log("sent, also when the caller is long gone"))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.map(makeSupervisor(options), ({ accept, refused, supervised, tasks }) => ({
    run: (task) => Effect.suspend(() => accept() ? tasks.fork(void 0, supervised(Effect.scoped(task))) : refused)
  }))

/**
 * As `FiberSet.makeRuntime`: a function for callbacks that are not effects. What a task uses is what there is here and
 * now, so it outlives the task. Refused tasks are fibers that fail with `TaskRefused`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeRuntime = <R = never>(
  options: Options
): Effect.Effect<<A, E>(task: Effect.Effect<A, E, R>) => Fiber.RuntimeFiber<A, E | TaskRefused>, never, R | Scope.Scope> =>
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
 * Hands a task to the supervisor of the code that runs now, and returns at once: what a handler does with work that its
 * client need not wait for. Fork after a transaction, not in it: a task keeps the services of the moment it was started.
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
