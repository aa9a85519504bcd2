/** The folder of an embedded database, which one process at a time may use. */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { processes } from "../../../core/Host.js"
import { errorMessage } from "../../../core/internal/errorMessage.js"
import { DatabaseError } from "../contract.js"

/** The process that holds a lock. Its start time tells it from a later process with the same pid. */
interface LockHolder {
  readonly pid: number
  readonly host: string
  /** In ticks since boot; empty where the platform does not provide it. */
  readonly began: string
}

/** A lock that was taken, or its holder; no holder when the file cannot be parsed. */
export type LockAttempt =
  | { readonly _tag: "Held"; readonly release: () => void }
  | { readonly _tag: "Refused"; readonly path: string; readonly holder: LockHolder | undefined }

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

const self = (): LockHolder => ({ pid: processes.pid(), host: Os.hostname(), began: startOf(processes.pid()) })

/** Whether the holder may be alive. A process of another machine or container cannot be checked, so it counts as alive. */
const isAlive = (holder: LockHolder): boolean => {
  if (holder.host !== Os.hostname()) return true
  if (!processes.exists(holder.pid)) return false
  const began = startOf(holder.pid)
  return began === "" || holder.began === "" || began === holder.began
}

const readIfPresent = (path: string): string | undefined => {
  try {
    return Fs.readFileSync(path, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
    throw error
  }
}

const parseHolder = (text: string): LockHolder | undefined => {
  try {
    const { began, host, pid } = JSON.parse(text) as LockHolder
    return Number.isInteger(pid) && typeof host === "string" && typeof began === "string"
      ? { pid, host, began }
      : undefined
  } catch {
    return undefined
  }
}

/** Creates a file with all of its content, or not at all. False when it exists. */
const createExclusively = (path: string, text: string): boolean => {
  const draft = `${path}.${processes.pid()}.draft`
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

/**
 * Takes a lock file, unless a live process holds it. The lock of a dead process is removed under a guard, a lock file named after that
 * process and taken in the same way: of several processes that compete, one continues.
 */
export const takeLock = (path: string): LockAttempt => {
  const mine = JSON.stringify(self())
  for (;;) {
    if (createExclusively(path, mine)) return { _tag: "Held", release: () => Fs.rmSync(path, { force: true }) }
    const text = readIfPresent(path)
    if (text === undefined) continue
    const holder = parseHolder(text)
    if (holder === undefined || isAlive(holder)) return { _tag: "Refused", path, holder }
    const guard = takeLock(`${path}.${holder.pid}-${holder.began}`)
    if (guard._tag === "Refused") return guard
    try {
      // The lock may have changed hands before the guard was taken.
      if (readIfPresent(path) === text) Fs.rmSync(path)
    } finally {
      guard.release()
    }
  }
}

const lockName = "lastcall.lock"
const newName = "lastcall.new"

/** A folder that this process has locked. */
export interface DataFolder {
  readonly path: string
  /** It contains no database yet. */
  readonly isNew: boolean
  /** Run it once the database is open: from then on the content is kept when a start is killed. */
  readonly opened: Effect.Effect<void>
  readonly release: Effect.Effect<void>
}

export const folderUnusable = (path: string, why: string) =>
  new DatabaseError({
    reason: "FolderUnusable",
    message: `The database folder ${path} cannot be used: ${why}. Move it away, or set DATABASE_URL to another one.`
  })

const folderInUse = (path: string, lock: string, holder: LockHolder | undefined) =>
  new DatabaseError({
    reason: "FolderInUse",
    message: holder === undefined
      ? `The database folder ${path} is locked by ${lock}, which names no process. ` +
        "Delete that file if no process uses the folder."
      : `The database folder ${path} is in use by process ${holder.pid} on ${holder.host}. ` +
        `Stop it, or set DATABASE_URL to another folder. (Delete ${lock} only if that process does not exist any more.)`
  })

const isOurs = (name: string) => name.startsWith("lastcall.")

/**
 * Removes PostgreSQL's own lock file when it is empty. It is when its process was killed between creating and writing it, and then
 * PostgreSQL never starts in this folder again. This process holds the lock on the folder, so that process has ended.
 */
const removeIfEmpty = (pidFile: string) => {
  if (Fs.existsSync(pidFile) && Fs.statSync(pidFile).size === 0) Fs.rmSync(pidFile)
}

/** Clears what a first start left behind that was killed before its database was open. Returns whether the folder is new. */
const prepare = (path: string): boolean => {
  const entries = Fs.readdirSync(path).filter((name) => name !== lockName && !name.startsWith(`${lockName}.`))
  if (entries.includes(newName)) {
    for (const name of entries) if (!isOurs(name)) Fs.rmSync(Path.join(path, name), { recursive: true, force: true })
    return true
  }
  if (entries.length === 0) {
    Fs.writeFileSync(Path.join(path, newName), "The database in this folder is being created.\n")
    return true
  }
  if (entries.includes("PG_VERSION")) {
    removeIfEmpty(Path.join(path, "postmaster.pid"))
    return false
  }
  throw new Error("it is not empty, and contains no database")
}

/** Node's own recursive `mkdirSync` never returns where a parent exists and answers `ENOENT`, as /proc does. */
const createFolder = (path: string): void => {
  if (Fs.existsSync(path)) return
  createFolder(Path.dirname(path))
  try {
    Fs.mkdirSync(path)
  } catch (error) {
    // Another process may have created it meanwhile.
    if (!Fs.existsSync(path)) throw error
  }
}

/** Creates the folder where it is missing, locks it, and checks that it is empty or contains a database. */
export const openDataFolder = (folder: string): Effect.Effect<DataFolder, DatabaseError> => {
  const path = Path.resolve(folder)
  const toError = (error: unknown) => folderUnusable(path, errorMessage(error))
  return Effect.gen(function*() {
    const lock = yield* Effect.try({
      try: () => {
        createFolder(path)
        return takeLock(Path.join(path, lockName))
      },
      catch: toError
    })
    if (lock._tag === "Refused") return yield* folderInUse(path, lock.path, lock.holder)
    const release = Effect.ignore(Effect.try(() => lock.release()))
    const isNew = yield* Effect.try({ try: () => prepare(path), catch: toError }).pipe(Effect.onError(() => release))
    return {
      path,
      isNew,
      opened: Effect.ignore(Effect.try(() => Fs.rmSync(Path.join(path, newName), { force: true }))),
      release
    }
  }).pipe(Effect.uninterruptible)
}
