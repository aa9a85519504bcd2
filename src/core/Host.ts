/**
 * The machine that a service runs on: signals, exit, terminal, files, parent process. The only module that uses
 * `process`, so that tests can replace it.
 *
 * @module
 * @since 0.1.0
 */
import { Context, Duration, Effect, type Fiber, Option, Queue, type Scope } from "effect"
import * as Fs from "node:fs/promises"
import { liveRegion } from "./internal/liveRegion.js"
import { mainFiber } from "./internal/mainFiber.js"
import { processEnd } from "./internal/processEnd.js"
import type { Signal } from "./ShutdownConfig.js"

/**
 * An event that a launched service handles.
 *
 * - `Signal`: the process received a signal, up to `delay` ago: the event loop was blocked for so long just before.
 * - `Uncaught`: an uncaught error, or an unhandled rejection.
 * - `Interrupted`: the main fiber was interrupted, as `runMain` does on SIGINT and SIGTERM. `launch` adds it.
 * - `Blocked`: the event loop was blocked for `duration`. No timer fired and no signal arrived meanwhile.
 *
 * @since 0.1.0
 * @category models
 */
export type HostEvent =
  | { readonly _tag: "Signal"; readonly signal: Signal; readonly delay?: Duration.Duration }
  | { readonly _tag: "Uncaught"; readonly error: unknown }
  | { readonly _tag: "Interrupted" }
  | { readonly _tag: "Blocked"; readonly duration: Duration.Duration }

/**
 * A terminal, for output that is drawn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Terminal {
  /** The width in characters. */
  readonly columns: number
  /** The height in lines. */
  readonly rows: number
  /** Whether it shows colours: not with `NO_COLOR`, nor with `TERM=dumb`; in any case with `FORCE_COLOR`. */
  readonly colors: boolean
  /** Prints a text and a line break. */
  readonly print: (text: string) => Effect.Effect<void>
  /**
   * A region at the bottom of the screen, and the function that redraws it. Other output scrolls above it. It is removed
   * when the scope closes. None where the cursor cannot be moved (`TERM=dumb`), and where `CI` is set: what is drawn
   * would be kept as a log, a copy for each change.
   */
  readonly liveRegion: Option.Option<
    Effect.Effect<(text: string) => Effect.Effect<void>, never, Scope.Scope>
  >
}

/**
 * The service behind the `Host` tag.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Receives these signals, uncaught errors and unhandled rejections, and blocks of the event loop of more than 500
   * milliseconds, until the scope closes. `launch` never closes it. A signal that is received does not end the process, nor
   * does stdout or stderr that is not read any more: what is written there is lost.
   * Signals that `runMain` handles are received too.
   */
  readonly listen: (signals: ReadonlyArray<Signal>) => Effect.Effect<Queue.Queue<HostEvent>, never, Scope.Scope>
  /**
   * Kills the process after this time, unless the scope closes before, and writes to stderr in one line why it still ran.
   * A thread of its own keeps the time, so it holds while the event loop is blocked.
   */
  readonly endWithin: (within: Duration.DurationInput) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Ends the process, whatever timers or sockets are open. Waits at most 500 milliseconds until stdout and stderr are
   * flushed, then, as Node does, for the work in libuv's thread pool: file system, DNS, crypto and zlib. Within the time
   * of `endWithin`, or one second where none was set.
   */
  readonly exit: (code: number) => Effect.Effect<never>
  /**
   * The fiber that runs the program, as `runMain` does: a launch ends it, and the process ends after it. Here the root of
   * the forks that led to the current fiber.
   */
  readonly main: Effect.Effect<Fiber.RuntimeFiber<unknown, unknown>>
  /**
   * From the end of this fiber on, `process.exit` only sets the exit code, if that is higher than the code of `exit`, which
   * ends the process. So the code that runs the main fiber, such as `runMain`, does not end the process before its report.
   */
  readonly holdExit: (main: Fiber.RuntimeFiber<unknown, unknown>) => Effect.Effect<void>
  /** The terminal on stdout; none when stdout is a pipe or a file. */
  readonly terminal: Option.Option<Terminal>
  /** Writes a text and a line break to a file. Fails as the file system does. */
  readonly writeFile: (path: string, text: string) => Effect.Effect<void, unknown>
  /**
   * What may keep these signals from a launched service, a sentence each: a package runner or a shell as the parent
   * process, or a signal listener of other code.
   */
  readonly environmentWarnings: (signals: ReadonlyArray<Signal>) => Effect.Effect<ReadonlyArray<string>>
}

/** In milliseconds: above pauses of the garbage collector, below what clients notice. */
const blockedAfter = 500
const sampleEvery = 100

/** The name of the signal listeners of this module, to find those of other code. */
const listenerName = "lastcall"

/** The signals that `runMain` handles: it interrupts the main fiber at the first one, and handles no further one. */
const runMainSignals = ["SIGTERM", "SIGINT"] as const

/**
 * Whether it is the signal listener of `runMain`, by its source: Effect has no name for it.
 *
 * @internal
 */
export const isOfRunMain = (listener: unknown): boolean => /onSigint|unsafeInterruptAsFork/.test(String(listener))

const listen: Service["listen"] = (signals) =>
  Effect.gen(function*() {
    const events = yield* Queue.unbounded<HostEvent>()
    const offer = (event: HostEvent) => void events.unsafeOffer(event)
    const received = new Map<string, () => void>()
    let delay = Duration.zero
    const receive = (signal: Signal) => {
      if (received.has(signal)) return
      const listener = () => offer({ _tag: "Signal", signal, delay })
      Object.defineProperty(listener, "name", { value: listenerName })
      received.set(signal, listener)
      process.on(signal, listener)
    }
    /** A duplicate of a signal that only `runMain` handles would end the process, because `runMain` handles one. */
    const onNewListener = (event: string | symbol, listener: unknown) => {
      const signal = runMainSignals.find((signal) => signal === event)
      if (signal !== undefined && isOfRunMain(listener)) receive(signal)
    }
    const onUncaught = (error: unknown) => offer({ _tag: "Uncaught", error })
    // Without a listener, a write that fails is an uncaught error, which is logged, and written again.
    const onWriteError = () => undefined
    const outputs = [process.stdout, process.stderr]
    let last = performance.now()
    const sample = () => {
      const now = performance.now()
      const blocked = now - last - sampleEvery
      last = now
      if (blocked <= 0) return
      // Signals that came meanwhile arrive in this turn of the event loop, before its immediates.
      delay = Duration.millis(blocked)
      setImmediate(() => {
        delay = Duration.zero
      })
      if (blocked > blockedAfter) offer({ _tag: "Blocked", duration: delay })
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        signals.forEach(receive)
        // A program may begin before `runMain` listens.
        runMainSignals.forEach((signal) => process.listeners(signal).forEach((other) => onNewListener(signal, other)))
        process.on("newListener", onNewListener)
        // Node raises an unhandled rejection as an uncaught exception.
        process.on("uncaughtException", onUncaught)
        for (const output of outputs) output.on("error", onWriteError)
        // It also keeps the process alive, as `Layer.launch` does.
        return setInterval(sample, sampleEvery)
      }),
      (timer) =>
        Effect.sync(() => {
          process.off("newListener", onNewListener)
          for (const [signal, listener] of received) process.off(signal, listener)
          process.off("uncaughtException", onUncaught)
          for (const output of outputs) output.off("error", onWriteError)
          clearInterval(timer)
        })
    )
    return events
  })

const isSet = (variable: string | undefined) => variable !== undefined && !/^(|0|false)$/i.test(variable)

const terminal = (): Option.Option<Terminal> =>
  process.stdout.isTTY
    ? Option.some({
      // Terminals are resized.
      get columns() {
        return process.stdout.columns || 80
      },
      get rows() {
        return process.stdout.rows || 24
      },
      colors: process.stdout.hasColors(),
      print: (text) => Effect.sync(() => void process.stdout.write(`${text}\n`)),
      liveRegion: process.env["TERM"] === "dumb" || isSet(process.env["CI"])
        ? Option.none()
        : Option.some(liveRegion([process.stdout, process.stderr]))
    })
    : Option.none()

/** The command line of the parent process; empty where there is no /proc. */
const parentCommand = Effect.tryPromise(() => Fs.readFile(`/proc/${process.ppid}/cmdline`, "utf8")).pipe(
  Effect.map((text) => text.split("\0").filter((word) => word !== "")),
  Effect.orElseSucceed(() => [] as Array<string>)
)

const environmentWarnings: Service["environmentWarnings"] = (signals) =>
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
          // The one of runMain interrupts the main fiber, which launch takes as a request.
          .filter((listener) => listener.name !== listenerName && !isOfRunMain(listener))
          .map((listener) =>
            `a foreign ${signal} listener (${listener.name || "anonymous"}) is installed: ` +
            "should it end the process, the drain is cut short"
          )
      )
    ]
  })

/**
 * The host of the service. Default: the Node process. `TestApp` provides one in memory.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Host } from "lastcall"
 *
 * // A host that logs the exit code instead of ending the process.
 * const onHost = Effect.gen(function*() {
 *   const host = yield* Host.Host
 *   return { ...host, exit: (code: number) => Effect.zipRight(Effect.log(`exit ${code}`), Effect.never) }
 * })
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class Host extends Context.Reference<Host>()("lastcall/Host", {
  defaultValue: (): Service => ({
    listen,
    main: mainFiber,
    ...processEnd(process),
    terminal: terminal(),
    writeFile: (path, text) => Effect.tryPromise(() => Fs.writeFile(path, `${text}\n`)),
    environmentWarnings
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
 * This process, for a lock that must not outlive it and for threads that load modules as its entry does.
 *
 * @internal
 */
export const processes = {
  pid: (): number => process.pid,
  /** The file that Node was started with. */
  entry: (): string | undefined => process.argv[1],
  /** Whether Node verifies the certificates of servers unless a connection says otherwise. */
  verifiesTls: (): boolean => process.env["NODE_TLS_REJECT_UNAUTHORIZED"] !== "0",
  exists: (pid: number): boolean => {
    try {
      return process.kill(pid, 0)
    } catch (error) {
      // The process exists, and belongs to another user.
      return (error as NodeJS.ErrnoException).code === "EPERM"
    }
  }
}
