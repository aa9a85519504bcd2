import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { DatabaseError } from "../contract.js"
import { claim } from "./folderLock.js"

const lockName = "lastcall.lock"
const newName = "lastcall.new"

/** A folder that is ours alone until it is released. */
export interface Folder {
  readonly path: string
  /** There is no database in it yet. */
  readonly isNew: boolean
  /** To be run once the database in it has been opened: from now on what is there is somebody's data. */
  readonly opened: Effect.Effect<void>
  readonly release: Effect.Effect<void>
}

const unusable = (path: string, why: string) =>
  new DatabaseError({
    reason: "FolderUnusable",
    message: `The database folder ${path} cannot be used: ${why}. Move it away, or set DATABASE_URL to another one.`
  })

const inUse = (path: string, lock: string, by: { readonly pid: number; readonly host: string } | undefined) =>
  new DatabaseError({
    reason: "FolderInUse",
    message: by === undefined
      ? `The database folder ${path} is locked by ${lock}, which does not say by whom. Delete that file if nobody uses the folder.`
      : `The database folder ${path} is in use by process ${by.pid} on ${by.host}. ` +
        `Stop it, or set DATABASE_URL to another folder. (Only if that process is no more, delete ${lock}.)`
  })

const ours = (name: string) => name.startsWith("lastcall.")

/**
 * PostgreSQL's own lock file says nothing when its process was killed between making and filling it, and then it never
 * starts again in this folder. Ours is held by now: whoever made it is gone.
 */
const dropEmpty = (pidFile: string) => {
  if (Fs.existsSync(pidFile) && Fs.statSync(pidFile).size === 0) Fs.rmSync(pidFile)
}

/**
 * Clears what a first start left behind that was killed before its database could be used. Says whether there is no
 * database yet.
 */
const prepare = (path: string): boolean => {
  const entries = Fs.readdirSync(path).filter((name) => name !== lockName && !name.startsWith(`${lockName}.`))
  if (entries.includes(newName)) {
    for (const name of entries) if (!ours(name)) Fs.rmSync(Path.join(path, name), { recursive: true, force: true })
    return true
  }
  if (entries.length === 0) {
    Fs.writeFileSync(Path.join(path, newName), "The database in this folder is being created.\n")
    return true
  }
  if (entries.includes("PG_VERSION")) {
    dropEmpty(Path.join(path, "postmaster.pid"))
    return false
  }
  throw new Error("it is not empty, and holds no database")
}

/** Node's own recursive `mkdirSync` never returns where a parent answers `ENOENT` and is there, as /proc does. */
const make = (path: string): void => {
  if (Fs.existsSync(path)) return
  make(Path.dirname(path))
  try {
    Fs.mkdirSync(path)
  } catch (error) {
    // Another process was quicker.
    if (!Fs.existsSync(path)) throw error
  }
}

/** Locks the folder, which is made if need be, and sees that it is empty or holds a database. */
export const openFolder = (folder: string): Effect.Effect<Folder, DatabaseError> => {
  const path = Path.resolve(folder)
  const because = (error: unknown) => unusable(path, error instanceof Error ? error.message : String(error))
  return Effect.gen(function*() {
    const lock = yield* Effect.try({
      try: () => {
        make(path)
        return claim(Path.join(path, lockName))
      },
      catch: because
    })
    if (lock._tag === "Refused") return yield* inUse(path, lock.path, lock.by)
    const release = Effect.ignore(Effect.try(() => lock.release()))
    const isNew = yield* Effect.try({ try: () => prepare(path), catch: because }).pipe(Effect.onError(() => release))
    return {
      path,
      isNew,
      opened: Effect.ignore(Effect.try(() => Fs.rmSync(Path.join(path, newName), { force: true }))),
      release
    }
  }).pipe(Effect.uninterruptible)
}

export { unusable }
