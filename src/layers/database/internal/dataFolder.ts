/**
 * The folder of an embedded database, which one process at a time may use. PGlite locks nothing: of two processes in one folder each loses the
 * other's rows, without an error. Nor does it open a folder any more in which it was killed while it created the database.
 */
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { errorMessage } from "../../../core/internal/errorMessage.js"
import { DatabaseError } from "../contract.js"
import { acquireLock, LockRefused, type lockTimes } from "./folderLock.js"

const lockName = "lastcall.lock"
/** A database that is being created: PostgreSQL has never served it. */
const unfinished = "lastcall.new"
/** A database that is created, and on its way to its place. */
const finished = "lastcall.made"
/** The first database whose creation was killed. */
const setAside = "lastcall.unfinished"

/** A folder that this process has locked. */
export interface DataFolder {
  readonly path: string
  /** Whether it contains no database yet: `create` makes it. */
  readonly isNew: boolean
  /** Creates the database: `make` writes it to a folder, which is moved into place when it is complete. Interruptible. */
  readonly create: <E>(make: (folder: string) => Effect.Effect<unknown, E>) => Effect.Effect<void, E | DatabaseError>
  readonly release: Effect.Effect<void>
}

export const folderUnusable = (path: string, why: string) =>
  new DatabaseError({
    reason: "FolderUnusable",
    message: `The database folder ${path} cannot be used: ${why}. Move it away, or set DATABASE_URL to another one.`
  })

const folderInUse = (path: string, { holder, path: lock }: LockRefused) =>
  new DatabaseError({
    reason: "FolderInUse",
    message: holder === undefined
      ? `The database folder ${path} is locked by ${lock}, which names no process. ` +
        "Delete that file if no process uses the folder."
      : `The database folder ${path} is in use by process ${holder.pid} on ${holder.host}. ` +
        `Stop it, or set DATABASE_URL to another folder. (Delete ${lock} only if that process does not exist any more.)`
  })

/**
 * Removes PostgreSQL's own lock file when it is empty. It is when its process was killed between creating and writing it, and then
 * PostgreSQL never starts in this folder again. This process holds the lock on the folder, so that process has ended.
 */
const removeIfEmpty = (pidFile: string) => {
  if (Fs.existsSync(pidFile) && Fs.statSync(pidFile).size === 0) Fs.rmSync(pidFile)
}

/** Moves a created database into its place. The file that makes it one comes last: until then a start goes on with the rest. */
const moveIntoPlace = (path: string) => {
  const from = Path.join(path, finished)
  const names = Fs.readdirSync(from).filter((name) => name !== "PG_VERSION")
  for (const name of [...names, "PG_VERSION"]) Fs.renameSync(Path.join(from, name), Path.join(path, name))
  try {
    Fs.rmdirSync(from)
  } catch {
    // An empty folder harms nothing.
  }
}

interface Prepared {
  readonly isNew: boolean
  /** The database that was found half-made. */
  readonly foundUnfinished: "SetAside" | "Removed" | undefined
}

/**
 * Goes on with what an earlier start left behind that was killed while it created the database. What PostgreSQL has served is never
 * touched. Of the half-made databases, which have no content, the first is set aside; later ones would fill the disk, start by start.
 */
const prepare = (path: string): Prepared => {
  const at = (name: string) => Path.join(path, name)
  let foundUnfinished: Prepared["foundUnfinished"]
  if (Fs.statSync(at(unfinished), { throwIfNoEntry: false })?.isDirectory() === true) {
    if (Fs.existsSync(at(setAside))) {
      Fs.rmSync(at(unfinished), { recursive: true })
      foundUnfinished = "Removed"
    } else {
      Fs.renameSync(at(unfinished), at(setAside))
      foundUnfinished = "SetAside"
    }
  }
  if (Fs.existsSync(at(Path.join(finished, "PG_VERSION"))) && !Fs.existsSync(at("PG_VERSION"))) moveIntoPlace(path)
  // ext4 has a folder of its own at the root of each volume.
  const content = Fs.readdirSync(path).filter((name) => !name.startsWith("lastcall.") && name !== "lost+found")
  if (content.length === 0) return { isNew: true, foundUnfinished }
  if (!content.includes("PG_VERSION")) throw new Error("it is not empty, and contains no database")
  removeIfEmpty(at("postmaster.pid"))
  return { isNew: false, foundUnfinished }
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

const logUnfinished = (path: string, found: Prepared["foundUnfinished"]) =>
  found === undefined ? Effect.void : Effect.logWarning(
    found === "SetAside"
      ? `a start that was killed left a half-made database in ${path}: it is set aside as ${setAside}, and may be deleted`
      : `a start that was killed left a half-made database in ${path}: it is removed, as ${setAside} is one already`
  )

/**
 * Creates the folder where it is missing, locks it, and checks that it is empty or contains a database. Uninterruptible, except while it
 * watches the lock of a process that cannot be checked.
 */
export const openDataFolder = (folder: string, times?: typeof lockTimes): Effect.Effect<DataFolder, DatabaseError> => {
  const path = Path.resolve(folder)
  const toError = (error: unknown) => folderUnusable(path, errorMessage(error))
  const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: toError })
  return Effect.gen(function*() {
    yield* attempt(() => createFolder(path))
    const release = yield* Effect.mapError(
      acquireLock(Path.join(path, lockName), times),
      (error) => error instanceof LockRefused ? folderInUse(path, error) : toError(error.error)
    )
    const { foundUnfinished, isNew } = yield* Effect.onError(attempt(() => prepare(path)), () => release)
    yield* logUnfinished(path, foundUnfinished)
    const draft = Path.join(path, unfinished)
    return {
      path,
      isNew,
      create: <E>(make: (folder: string) => Effect.Effect<unknown, E>): Effect.Effect<void, E | DatabaseError> =>
        make(draft).pipe(
          // This process has made it, and no other has seen it.
          Effect.onError(() => Effect.ignore(Effect.try(() => Fs.rmSync(draft, { recursive: true, force: true })))),
          Effect.zipRight(attempt(() => {
            Fs.renameSync(draft, Path.join(path, finished))
            moveIntoPlace(path)
          }))
        ),
      release
    } satisfies DataFolder
  }).pipe(Effect.uninterruptible)
}
