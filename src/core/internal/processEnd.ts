import { Duration, Effect, type Fiber, type Scope } from "effect"
import { closeSync, fstatSync } from "node:fs"
import { isatty } from "node:tty"
import { bounded } from "./bounded.js"
import { makeThreadPoolLooks } from "./threadPool.js"
import { startWatchdog } from "./watchdog.js"

/** Time to flush stdout and stderr: the reader of a pipe may have stopped reading. */
const flushTimeout = Duration.millis(500)

/** Time for libuv's thread pool when no deadline was set: enough for what ends by itself. */
const defaultTimeout = Duration.seconds(1)

/** Closes what was a terminal that was closed: at its exit, Node before 22.16 would restore its settings, fail, and abort. */
const closeHungUpTerminals = () => {
  for (const fd of [0, 1, 2]) {
    try {
      if (fstatSync(fd).isCharacterDevice() && !isatty(fd)) closeSync(fd)
    } catch {
      // It is closed already.
    }
  }
}

/** Ends a Node process, at the latest at a deadline. */
export const processEnd = (process: NodeJS.Process) => {
  const exitProcess = process.exit.bind(process)
  /** The highest code that was asked for since the main fiber has ended. */
  let requested = 0
  /** What the thread pool was found to work on when the exit has last looked. */
  let keeps: string | undefined
  let watchdogs = 0
  /** The Workers that were started before the first watchdog: ids of threads are counted up. */
  let workers = 0

  const look = makeThreadPoolLooks()
  const busy = () => look({ pid: process.pid, resources: process.getActiveResourcesInfo(), workers })
  const reason = () =>
    keeps === undefined
      ? "the shutdown has not ended"
      : `libuv's thread pool is busy (${keeps}), and Node waits for it before it exits`

  const endWithin = (within: Duration.DurationInput): Effect.Effect<void, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.try(() => {
        const millis = Math.min(Duration.toMillis(within), 2 ** 31 - 1)
        const worker = startWatchdog(process.hrtime.bigint() + BigInt(Math.ceil(millis * 1e6)), reason)
        if (watchdogs++ === 0) workers = worker.threadId - 1
        return worker
      }),
      (worker) => Effect.promise(() => worker.terminate())
    ).pipe(
      Effect.catchAll(({ error }) => Effect.logWarning("no thread can hold the deadline", error)),
      Effect.asVoid
    )

  const flush = Effect.async<void>((resume) => {
    let open = 2
    const flushed = () => {
      if (--open === 0) resume(Effect.void)
    }
    process.stdout.write("", flushed)
    process.stderr.write("", flushed)
  })

  /**
   * Looks again after 1, 2, 4 and at last every 16 milliseconds: there is no event for it. The pool is idle when it was
   * found to be so three times in a row: a thread that computes may not have run between two looks.
   */
  const whenIdle = (millis: number, seenIdle = 0): Effect.Effect<void> =>
    Effect.suspend(() => {
      const found = busy()
      if (found !== undefined) keeps = found
      if (found === undefined && seenIdle === 2) return Effect.void
      return Effect.delay(
        Effect.suspend(() => found === undefined ? whenIdle(1, seenIdle + 1) : whenIdle(Math.min(2 * millis, 16))),
        found === undefined ? 1 : millis
      )
    })

  /** `process.exit` joins libuv's thread pool, after it has stopped the watchdog: calls it when nothing is to be joined. */
  const exit = (code: number): Effect.Effect<never> =>
    Effect.gen(function*() {
      yield* bounded({ within: flushTimeout })(flush)
      if (watchdogs === 0 && busy() !== undefined) yield* endWithin(defaultTimeout)
      yield* whenIdle(1)
      closeHungUpTerminals()
      return exitProcess(Math.max(code, requested))
    }).pipe(Effect.scoped)

  const holdExit = (main: Fiber.RuntimeFiber<unknown, unknown>): Effect.Effect<void> =>
    Effect.sync(() => {
      // The observers of a fiber are called in reverse order: the one of `runMain`, which exits, comes later.
      main.addObserver(() => {
        process.exit = ((code = process.exitCode) => {
          requested = Math.max(requested, Number(code ?? 0))
        }) as typeof process.exit
      })
    })

  return { endWithin, exit, holdExit }
}
