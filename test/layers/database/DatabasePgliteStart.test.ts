// How the folder of an embedded database becomes one, and which processes may open it.
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, TestClock } from "effect"
import { spawnSync } from "node:child_process"
import fs, * as Fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as Path from "node:path"
import { openDataFolder } from "../../../src/layers/database/internal/dataFolder.js"
import { acquireLock, thisProcess } from "../../../src/layers/database/internal/folderLock.js"
import { cannot } from "../../kit/cannot.js"
import { Child } from "../../kit/child.js"
import { openDatabase } from "../../kit/database.js"
import { long } from "../../kit/long.js"
import { databaseFolder, newFolder } from "../../kit/pglite.js"
import { bundle, runFixture } from "../../kit/programs.js"
import { eventually } from "../../kit/until.js"

const open = (folder: string) => openDatabase(`pglite:${folder}`)

/** Lets no file or folder of the library be removed, as where another program has it open (EBUSY). */
const withoutRemoval = Effect.acquireRelease(
  Effect.sync(() => {
    // Node takes the functions for its recursive removal from `fs` when it first needs them.
    fs.rmSync(newFolder(), { recursive: true, force: true })
    const originals = { rmSync: fs.rmSync, rmdirSync: fs.rmdirSync, unlinkSync: fs.unlinkSync }
    for (const [name, original] of Object.entries(originals)) {
      Object.assign(fs, {
        [name]: (path: string, ...rest: Array<never>) => {
          if (/lastcall\.(?!lock)/.test(path)) throw Object.assign(new Error(`EBUSY: ${path}`), { code: "EBUSY" })
          return (original as (path: string, ...rest: Array<never>) => void)(path, ...rest)
        }
      })
    }
    syncBuiltinESMExports()
    return originals
  }),
  (originals) =>
    Effect.sync(() => {
      Object.assign(fs, originals)
      syncBuiltinESMExports()
    })
)

/** The messages that are logged. */
const logged = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ message }) => void lines.push(String(message)))
  return { lines, layer: Logger.replace(Logger.defaultLogger, logger) }
}

/** The names in a folder without those of PostgreSQL, but `PG_VERSION`. */
const namesIn = (folder: string) =>
  Fs.readdirSync(folder).filter((name) =>
    name === "PG_VERSION" || !/^(pg_|postgresql|postmaster|base|global)/.test(name)
  ).sort()

/** What `initdb` would write. */
const cluster = (folder: string) =>
  Effect.sync(() => {
    Fs.mkdirSync(Path.join(folder, "base"), { recursive: true })
    Fs.writeFileSync(Path.join(folder, "PG_VERSION"), "18")
  })

describe("Database on PGlite: its first start", () => {
  it.scopedLive("a database is kept, also when no file of its creation can be removed", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      yield* Effect.scoped(Effect.gen(function*() {
        yield* withoutRemoval
        const { sql } = yield* open(folder)
        yield* sql`CREATE TABLE orders AS SELECT generate_series(1, 1000) AS n`
      }))
      const { sql } = yield* open(folder)
      assert.deepStrictEqual(yield* sql`SELECT count(*) FROM orders`, [{ count: "1000" }])
    }))

  it.scopedLive("the event loop turns while a database is created, in a folder and in memory", () =>
    Effect.gen(function*() {
      for (const url of [`pglite:${newFolder()}`, "pglite:memory"]) {
        let turns = 0
        const timer = setInterval(() => turns++, 5)
        yield* openDatabase(url)
        clearInterval(timer)
        // Creating takes a second and more. On the thread of the event loop it lets a few turns pass.
        assert.isAbove(turns, 50, url)
      }
    }))

  it.live("a start that is interrupted while it creates a database leaves an empty folder", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const fiber = yield* Effect.fork(Effect.scoped(open(folder)))
      yield* eventually("creating", Effect.sync(() => Fs.existsSync(Path.join(folder, "lastcall.new", "base"))))
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(Fs.readdirSync(folder), [])
    }))

  it.scoped("a half-made database is set aside, or removed where one is set aside already, and both are logged", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const { layer, lines } = logged()
      const openFolder = Effect.provide(openDataFolder(folder), layer)
      yield* cluster(Path.join(folder, "lastcall.new"))
      const first = yield* openFolder
      assert.isTrue(first.isNew)
      assert.deepStrictEqual(namesIn(folder), ["lastcall.lock", "lastcall.unfinished"])
      yield* first.release
      yield* cluster(Path.join(folder, "lastcall.new"))
      const second = yield* openFolder
      assert.isTrue(second.isNew)
      assert.deepStrictEqual(namesIn(folder), ["lastcall.lock", "lastcall.unfinished"])
      yield* second.create(cluster)
      yield* second.release
      const third = yield* openFolder
      assert.isFalse(third.isNew)
      assert.deepStrictEqual(namesIn(folder), ["PG_VERSION", "lastcall.lock", "lastcall.unfinished"])
      yield* third.release
      const left = `a start that was killed left a half-made database in ${folder}`
      assert.deepStrictEqual(lines, [
        `${left}: it is set aside as lastcall.unfinished, and may be deleted`,
        `${left}: it is removed, as lastcall.unfinished is one already`
      ])
    }))

  it.scoped("a start that was killed while it moved a database into place is finished by the next", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      yield* cluster(Path.join(folder, "lastcall.made"))
      Fs.renameSync(Path.join(folder, "lastcall.made", "base"), Path.join(folder, "base"))
      const { isNew, release } = yield* openDataFolder(folder)
      assert.isFalse(isNew)
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["PG_VERSION", "base", "lastcall.lock"])
      yield* release
    }))

  it.scoped("the root of a volume is empty, with its lost+found", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(Path.join(folder, "lost+found"), { recursive: true })
      const { isNew, release } = yield* openDataFolder(folder)
      assert.isTrue(isNew)
      yield* release
    }))

  if (long) {
    it.scopedLive("a first start that is killed is repeated by the next", () =>
      Effect.gen(function*() {
        const folder = newFolder()
        for (const seen of ["lastcall.new", "lastcall.new/base", "lastcall.new/PG_VERSION", "pg_wal"]) {
          const child = runFixture("openFolder.ts", {}, [folder])
          while (!Fs.existsSync(Path.join(folder, seen)) && !child.output.includes("holds it")) {
            yield* Effect.sleep("1 millis")
          }
          yield* Effect.promise(() => child.end())
        }
        const { sql } = yield* open(folder)
        assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
        assert.deepStrictEqual(namesIn(folder), ["PG_VERSION", "lastcall.lock", "lastcall.unfinished"])
      }))
  }
})

const mount = "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\""
const small = "Database on PGlite: on a volume without room for a database"
if (spawnSync("unshare", ["-rm", "sh", "-c", mount, "/mnt", "true"]).status !== 0) {
  cannot(small, "there is no `unshare` here that may mount a volume")
} else {
  describe(small, () => {
    it.scopedLive("the start fails with what is missing, and leaves the volume empty", () =>
      Effect.gen(function*() {
        const folder = newFolder()
        Fs.mkdirSync(folder)
        const child = yield* Effect.acquireRelease(
          Effect.sync(() =>
            new Child("unshare", [
              ...["-rm", "sh", "-c", mount, folder],
              ...[process.execPath, bundle("test/fixtures/openFolder.ts"), folder]
            ])
          ),
          (child) => Effect.promise(() => child.end())
        )
        const [line] = yield* Effect.promise(() => child.waitFor(/refused .*/))
        assert.strictEqual(
          line,
          `refused FolderUnusable: The database folder ${folder} cannot be used: no space left on the device. ` +
            "Move it away, or set DATABASE_URL to another one."
        )
      }))
  })
}

describe("Database on PGlite: its lock, of a process that cannot be checked", () => {
  const here = thisProcess()
  /** A container of this machine, and another machine, with how long a lock is left to them. */
  const places = [
    [{ ...here, host: "container", pids: "pid:[1]" }, 15],
    [{ ...here, host: "container", machine: "another" }, 60]
  ] as const

  /** A folder with a lock of this holder, and the fiber that takes it. */
  const contend = (holder: typeof here) =>
    Effect.gen(function*() {
      const path = Path.join(newFolder(), "lastcall.lock")
      Fs.mkdirSync(Path.dirname(path))
      Fs.writeFileSync(path, JSON.stringify(holder))
      return { path, taker: yield* Effect.fork(acquireLock(path)) }
    })

  it.scoped("it is taken over when it is not renewed for 15 seconds on this machine, or for a minute on another one", () =>
    Effect.forEach(places, ([holder, seconds]) =>
      Effect.gen(function*() {
        const { path, taker } = yield* contend(holder)
        yield* TestClock.adjust(`${seconds - 1} seconds`)
        assert.strictEqual(Fs.readFileSync(path, "utf8"), JSON.stringify(holder))
        yield* TestClock.adjust("1 seconds")
        const release = yield* taker
        assert.strictEqual(Fs.readFileSync(path, "utf8"), JSON.stringify(here))
        yield* release
        assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), [])
      })))

  it.scoped("it is refused as soon as it is renewed", () =>
    Effect.forEach(places, ([holder]) =>
      Effect.gen(function*() {
        const { path, taker } = yield* contend(holder)
        yield* TestClock.adjust("10 seconds")
        Fs.utimesSync(path, new Date(), new Date())
        yield* TestClock.adjust("1 seconds")
        const error = yield* Effect.flip(Effect.asVoid(taker))
        assert.deepStrictEqual({ ...error }, { _tag: "LockRefused", path, holder } as never)
        assert.strictEqual(Fs.readFileSync(path, "utf8"), JSON.stringify(holder))
      })))

  it.scoped("a lock that is released meanwhile is taken at once", () =>
    Effect.gen(function*() {
      const { path, taker } = yield* contend(places[1][0])
      yield* TestClock.adjust("10 seconds")
      Fs.rmSync(path)
      yield* TestClock.adjust("1 seconds")
      yield* yield* taker
    }))

  it.scopedLive("a lock is renewed while its process lives, also when its event loop is blocked", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => runFixture("lockFolder.ts", { BLOCK: "1" }, [folder])),
        (child) => Effect.promise(() => child.end())
      )
      yield* Effect.promise(() => child.waitFor(/holds it/))
      const lock = Path.join(folder, "lastcall.lock")
      const first = Fs.statSync(lock).mtimeMs
      yield* eventually("renewed", Effect.sync(() => Fs.statSync(lock).mtimeMs > first))
    }))

  it.scopedLive("a process whose lock another one has taken is killed, and says so", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => runFixture("lockFolder.ts", {}, [folder])),
        (child) => Effect.promise(() => child.end())
      )
      yield* Effect.promise(() => child.waitFor(/holds it/))
      const lock = Path.join(folder, "lastcall.lock")
      Fs.writeFileSync(lock, JSON.stringify(places[0][0]))
      yield* Effect.promise(() => child.waitFor(/another process has taken its lock .*/))
      yield* Effect.promise(() => child.ended)
      assert.strictEqual(child.process.signalCode, "SIGKILL")
    }))
})
