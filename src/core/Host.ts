/**
 * The machine a service runs on: signals, exit, terminal, parent process. The only place that touches `process`.
 *
 * @since 0.1.0
 */
import { Context, Duration, Effect, Option, Queue, type Scope } from "effect"
import * as Fs from "node:fs/promises"
import { liveBlock } from "./internal/liveBlock.js"
import type { Signal } from "./ShutdownConfig.js"

/**
 * What the machine tells the service.
 *
 * @since 0.1.0
 * @category models
 */
export type HostEvent =
  | { readonly _tag: "Signal"; readonly signal: Signal }
  | { readonly _tag: "Uncaught"; readonly error: unknown }
  /** Not from the machine: the main fiber was interrupted, as `runMain` does on a signal of its own. */
  | { readonly _tag: "Interrupted" }
  /** The event loop stood still this long: no timer could fire meanwhile, and no deadline be kept. */
  | { readonly _tag: "Blocked"; readonly duration: Duration.Duration }

/**
 * @since 0.1.0
 * @category models
 */
export interface Terminal {
  readonly columns: number
  readonly print: (text: string) => Effect.Effect<void>
  /** A block at the bottom that is drawn anew; what others write meanwhile scrolls past above it. */
  readonly live: Effect.Effect<(text: string) => Effect.Effect<void>, never, Scope.Scope>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Listens to these signals, to uncaught errors and unhandled rejections, and to an event loop that stands still,
   * from now on until the scope closes: for `launch`, until the process ends.
   */
  readonly listen: (signals: ReadonlyArray<Signal>) => Effect.Effect<Queue.Queue<HostEvent>, never, Scope.Scope>
  /** Ends the process, whatever timers or sockets are left, once what was printed has been flushed. */
  readonly exit: (code: number) => Effect.Effect<never>
  /** The terminal on stdout; none when it is a pipe or a file. */
  readonly terminal: Option.Option<Terminal>
  readonly writeFile: (path: string, text: string) => Effect.Effect<void, unknown>
  /** What about this process may keep signals from arriving, or from being obeyed: a sentence each. */
  readonly ground: (signals: ReadonlyArray<Signal>) => Effect.Effect<ReadonlyArray<string>>
}

/** Longer than any garbage collection or start-up hiccup, shorter than anybody's patience. */
const blockedAfter = 500
const sampleEvery = 100

/** How our own signal listeners are told from foreign ones. */
const ours = "lastcall"

const listen: Service["listen"] = (signals) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<HostEvent>()
    const offer = (event: HostEvent) => void queue.unsafeOffer(event)
    const onSignal = signals.map((signal) => {
      const listener = () => offer({ _tag: "Signal", signal })
      Object.defineProperty(listener, "name", { value: ours })
      return [signal, listener] as const
    })
    const onUncaught = (error: unknown) => offer({ _tag: "Uncaught", error })
    let last = performance.now()
    const sample = () => {
      const now = performance.now()
      const blocked = now - last - sampleEvery
      last = now
      if (blocked > blockedAfter) offer({ _tag: "Blocked", duration: Duration.millis(blocked) })
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        for (const [signal, listener] of onSignal) process.on(signal, listener)
        // With this listener an unhandled rejection arrives here as well.
        process.on("uncaughtException", onUncaught)
        const timer = setInterval(sample, sampleEvery)
        timer.unref()
        return timer
      }),
      (timer) =>
        Effect.sync(() => {
          for (const [signal, listener] of onSignal) process.off(signal, listener)
          process.off("uncaughtException", onUncaught)
          clearInterval(timer)
        })
    )
    return queue
  })

const exit = (code: number): Effect.Effect<never> =>
  Effect.async<never>(() => {
    let open = 2
    const flushed = () => {
      if (--open === 0) process.exit(code)
    }
    process.stdout.write("", flushed)
    process.stderr.write("", flushed)
    // A reader that does not read must not keep us.
    setTimeout(() => process.exit(code), 500)
  })

const terminal = (): Option.Option<Terminal> =>
  process.stdout.isTTY
    ? Option.some({
      columns: process.stdout.columns || 80,
      print: (text) => Effect.sync(() => void process.stdout.write(`${text}\n`)),
      live: liveBlock([process.stdout, process.stderr])
    })
    : Option.none()

/** The command line of the parent, where the platform tells. */
const parentCommand = Effect.tryPromise(() => Fs.readFile(`/proc/${process.ppid}/cmdline`, "utf8")).pipe(
  Effect.map((text) => text.split("\0").filter((word) => word !== "")),
  Effect.orElseSucceed(() => [] as Array<string>)
)

const ground: Service["ground"] = (signals) =>
  Effect.gen(function*() {
    const parent = yield* parentCommand
    const shell = /(^|\/)(sh|dash|bash|ash|zsh)$/.test(parent[0] ?? "") && parent.includes("-c")
    const runner = process.env["npm_lifecycle_event"]
    // On a terminal, Ctrl+C reaches the whole process group, runner or not.
    const detached = process.stdin.isTTY !== true
    return [
      ...(detached && runner !== undefined
        ? [
          `started by a package runner ("${runner}" script): a SIGTERM sent to it does not arrive here. ` +
          "In production, start node itself"
        ]
        : detached && shell
        ? ["started by a shell: a SIGTERM sent to it does not arrive here. Start it with \"exec node ...\""]
        : []),
      ...signals.flatMap((signal) =>
        process.listeners(signal)
          // runMain's own listener interrupts the main fiber, which is what launch expects.
          .filter((listener) => listener.name !== ours && listener.name !== "onSigint")
          .map((listener) =>
            `a foreign ${signal} listener (${listener.name || "anonymous"}) is installed: ` +
            "should it end the process, the drain is cut short"
          )
      )
    ]
  })

/**
 * Node, unless something else is provided, as `TestApp` does.
 *
 * @since 0.1.0
 * @category tags
 */
export class Host extends Context.Reference<Host>()("lastcall/Host", {
  defaultValue: (): Service => ({
    listen,
    exit,
    terminal: terminal(),
    writeFile: (path, text) => Effect.tryPromise(() => Fs.writeFile(path, `${text}\n`)),
    ground
  })
}) {}

/**
 * Signal numbers, for the exit code 128 + n of a process that a signal ended.
 *
 * @internal
 */
export const signalNumber: Record<Signal, number> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGUSR2: 12,
  SIGTERM: 15,
  SIGBREAK: 21
}

/**
 * This process among the others of the machine, for a lock that must not outlive it.
 *
 * @internal
 */
export const processes = {
  pid: (): number => process.pid,
  exists: (pid: number): boolean => {
    try {
      return process.kill(pid, 0)
    } catch (error) {
      // It is there, and somebody else's.
      return (error as NodeJS.ErrnoException).code === "EPERM"
    }
  }
}
