/**
 * A lock file that a process holds while it lives, also against processes of other containers and machines. Packages for lock files renew theirs
 * by a timer of the event loop, which PGlite blocks, and go by its age alone: here a dead process of this machine holds up no start.
 */
import { Clock, Data, Duration, Effect } from "effect"
import { randomUUID } from "node:crypto"
import * as Fs from "node:fs"
import * as Os from "node:os"
import { Worker } from "node:worker_threads"
import { processes } from "../../../core/Host.js"
import { killSelf } from "../../../core/internal/watchdog.js"

/** The process that holds a lock. */
export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** In ticks since boot, which tells it from a later process with the same pid; empty where the platform does not provide it. */
  readonly began: string
  /** The boot of its kernel; its hostname where the platform does not provide that. */
  readonly machine: string
  /** The namespace of its pid: each container has its own. */
  readonly pids: string
}

/** When a process began, on Linux; `gone` for a zombie. */
const startOf = (pid: number): string => {
  try {
    const stat = Fs.readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" || fields[0] === "X" ? "gone" : fields[19] ?? ""
  } catch {
    return ""
  }
}

/** Where pids mean what they mean here. Not by the hostname: two containers may share one, and a new one has another. */
const place = (): Pick<LockHolder, "machine" | "pids"> => {
  try {
    return {
      machine: Fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
      pids: Fs.readlinkSync("/proc/self/ns/pid")
    }
  } catch {
    return { machine: Os.hostname(), pids: "" }
  }
}

/** This process as the holder of a lock. */
export const thisProcess = (): LockHolder => ({
  pid: processes.pid(),
  host: Os.hostname(),
  began: startOf(processes.pid()),
  ...place()
})

/** Whether the holder lives; `Unknown` for a process whose pid means nothing here. */
const stateOf = (holder: LockHolder): "Alive" | "Dead" | "Unknown" => {
  const { machine, pids } = place()
  if (holder.machine !== machine || holder.pids !== pids) return "Unknown"
  if (!processes.exists(holder.pid)) return "Dead"
  const began = startOf(holder.pid)
  return began === "" || holder.began === "" || began === holder.began ? "Alive" : "Dead"
}

const ifPresent = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

const readText = (path: string) => ifPresent(() => Fs.readFileSync(path, "utf8"))

/** When the lock was renewed. The file is opened, because a network file system asks its server only then. */
const renewedAt = (path: string): number | undefined =>
  ifPresent(() => {
    const fd = Fs.openSync(path, "r")
    try {
      return Fs.fstatSync(fd).mtimeMs
    } finally {
      Fs.closeSync(fd)
    }
  })

const parseHolder = (text: string): LockHolder | undefined => {
  try {
    const { began, host, machine, pid, pids } = JSON.parse(text) as LockHolder
    return Number.isInteger(pid) && [began, host, machine, pids].every((field) => typeof field === "string")
      ? { pid, host, began, machine, pids }
      : undefined
  } catch {
    return undefined
  }
}

/** Creates a file with all of its content, or not at all. False when it exists. */
const createExclusively = (path: string, text: string): boolean => {
  const draft = `${path}.${randomUUID()}.draft`
  Fs.writeFileSync(draft, text)
  try {
    Fs.linkSync(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  } finally {
    Fs.rmSync(draft, { force: true })
  }
}

/** Locks whose holders showed no sign of life: their text, and when they were renewed last. */
type Silent = ReadonlyMap<string, number | undefined>

type Attempt =
  | { readonly _tag: "Held"; readonly text: string }
  /** No holder when the file cannot be parsed. */
  | { readonly _tag: "Refused"; readonly path: string; readonly holder: LockHolder | undefined }
  | { readonly _tag: "Unknown"; readonly path: string; readonly holder: LockHolder; readonly text: string }

/**
 * Takes a lock file, unless its holder may live. The lock of a dead process is removed under a guard, a lock file named after that
 * process and taken in the same way: of several processes that compete, one continues.
 */
export const takeLock = (path: string, silent: Silent = new Map()): Attempt => {
  const mine = JSON.stringify(thisProcess())
  for (;;) {
    if (createExclusively(path, mine)) return { _tag: "Held", text: mine }
    const text = readText(path)
    if (text === undefined) continue
    const holder = parseHolder(text)
    if (holder === undefined) return { _tag: "Refused", path, holder }
    const isSilent = () => silent.has(text) && silent.get(text) === renewedAt(path)
    const state = stateOf(holder)
    if (state === "Alive") return { _tag: "Refused", path, holder }
    if (state === "Unknown" && !isSilent()) return { _tag: "Unknown", path, holder, text }
    const guard = `${path}.${holder.pid}-${holder.began}`
    const guarded = takeLock(guard, silent)
    if (guarded._tag !== "Held") return guarded
    try {
      // The lock may have changed hands, or may have been renewed, before the guard was taken.
      if (readText(path) === text && (state === "Dead" || isSilent())) Fs.rmSync(path)
    } finally {
      Fs.rmSync(guard, { force: true })
    }
  }
}

/**
 * How often a lock is renewed, and how long one that is not renewed is left to a holder that cannot be checked: in another container
 * of this machine a few renewals; on another machine, where a network file system caches and delays them, a minute.
 */
export const lockTimes = {
  renewEvery: Duration.seconds(5),
  silentFor: { here: Duration.seconds(15), elsewhere: Duration.seconds(60) }
}

/** Another process holds the lock, or may hold it. No holder when the file cannot be parsed. */
export class LockRefused extends Data.TaggedError("LockRefused")<{
  readonly path: string
  readonly holder: LockHolder | undefined
}> {}

const refused = ({ holder, path }: Pick<LockRefused, "holder" | "path">) => new LockRefused({ path, holder })

/**
 * Renews the lock, on a thread of its own: a statement of the embedded database blocks the event loop. If another process has taken
 * the lock, because this one was frozen, two processes would write to one database: this one is killed.
 */
const renewal = `
${killSelf}
const { closeSync, futimesSync, openSync, readFileSync, writeFileSync } = require("node:fs")
const { workerData: { every, path, text } } = require("node:worker_threads")

setInterval(() => {
  let fd
  try {
    fd = openSync(path, "r+")
    if (readFileSync(fd, "utf8") !== text) kill(": another process has taken its lock " + path)
    const now = new Date()
    futimesSync(fd, now, now)
  } catch (error) {
    if (error.code === "ENOENT") try { writeFileSync(path, text, { flag: "wx" }) } catch {}
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}, every)
`

const startRenewal = (path: string, text: string, every: Duration.Duration): Effect.Effect<Worker | undefined> =>
  Effect.try(() => {
    const worker = new Worker(renewal, {
      eval: true,
      env: {},
      execArgv: [],
      workerData: { path, text, every: Duration.toMillis(every) }
    })
    worker.on("error", () => undefined)
    worker.unref()
    return worker
  }).pipe(Effect.catchAll(({ error }) =>
    Effect.as(
      Effect.logWarning(`no thread can renew ${path}: processes of other containers may take it for abandoned`, error),
      undefined
    )
  ))

/** Waits until the lock is renewed, or changes hands, or has not been renewed for long enough. */
const watch = (path: string, text: string, silentFor: Duration.Duration) =>
  Effect.gen(function*() {
    const renewed = renewedAt(path)
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(silentFor)
    for (;;) {
      yield* Effect.interruptible(Effect.sleep("1 seconds"))
      const changed = readText(path) !== text
      if (changed || renewedAt(path) !== renewed) return { _tag: changed ? "Changed" : "Renewed" } as const
      if ((yield* Clock.currentTimeMillis) >= end) return { _tag: "Silent", renewed } as const
    }
  })

/**
 * Takes the lock, and holds it until the returned effect runs. A holder that cannot be checked, in another container or on another
 * machine, is watched first: it renews its lock while it lives.
 */
export const acquireLock = (
  path: string,
  { renewEvery, silentFor } = lockTimes
): Effect.Effect<Effect.Effect<void>, LockRefused | { readonly error: unknown }> =>
  Effect.gen(function*() {
    const silent = new Map<string, number | undefined>()
    for (;;) {
      const attempt = yield* Effect.try(() => takeLock(path, silent))
      if (attempt._tag === "Refused") return yield* refused(attempt)
      if (attempt._tag === "Held") {
        const worker = yield* startRenewal(path, attempt.text, renewEvery)
        // The thread would create the file again.
        const stop = Effect.promise(async () => worker?.terminate())
        return Effect.zipRight(stop, Effect.ignore(Effect.try(() => Fs.rmSync(path, { force: true }))))
      }
      const { holder, text } = attempt
      const patience = holder.machine === place().machine ? silentFor.here : silentFor.elsewhere
      yield* Effect.logWarning(
        `${path} is held by process ${holder.pid} on ${holder.host}, which cannot be checked from here: ` +
          `it is taken over unless it is renewed within ${Duration.format(patience)}`
      )
      const seen = yield* watch(attempt.path, text, patience)
      if (seen._tag === "Renewed") return yield* refused(attempt)
      if (seen._tag === "Silent") silent.set(text, seen.renewed)
    }
  })
