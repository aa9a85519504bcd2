import type { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Stream } from "effect"
import { spawnSync } from "node:child_process"
import fs, * as Fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import * as Path from "node:path"
import { takeLock, thisProcess } from "../../../src/layers/database/internal/folderLock.js"
import type { Child } from "../../kit/child.js"
import { openDatabase } from "../../kit/database.js"
import { databaseFolder, newFolder } from "../../kit/pglite.js"
import { runFixture } from "../../kit/programs.js"
import { eventually } from "../../kit/until.js"

/** Runs `step`, the act of another process, after the next lock file is read. */
const afterLockIsRead = (step: () => void) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const original = fs.readFileSync
      const restore = () => {
        fs.readFileSync = original
        syncBuiltinESMExports()
      }
      fs.readFileSync = ((...args: Parameters<typeof original>) => {
        const text = original(...args)
        if (String(args[0]).endsWith(".lock")) {
          restore()
          step()
        }
        return text
      }) as typeof original
      syncBuiltinESMExports()
      return restore
    }),
    (restore) => Effect.sync(restore)
  )

const lockOf = (folder: string) => Path.join(folder, "lastcall.lock")
const open = (folder: string) => openDatabase(`pglite:${folder}`)
const refusal = (folder: string) => Effect.flip(Effect.scoped(open(folder)))

/** Opens the folder in another process, which is killed after the test. */
const openElsewhere = (folder: string, fixture = "openFolder") =>
  Effect.acquireRelease(
    Effect.sync(() => runFixture(`${fixture}.ts`, {}, [folder])),
    (child) => Effect.promise(() => child.end())
  )

const printed = (child: Child, pattern: RegExp) => Effect.promise(() => child.waitFor(pattern))

/** The pid of a process that has ended, not in use again yet. */
const deadPid = () => spawnSync(process.execPath, ["-e", ""]).pid

const lockFor = (pid: number, began = "") => JSON.stringify({ ...thisProcess(), pid, began })

describe("Database on PGlite: its one connection", () => {
  const message = "The embedded database has one connection, and this fiber, or the one that forked it, holds it"

  it.scopedLive("a fiber that holds it and asks for it again fails at once, and one that it has forked after 10 seconds", () =>
    Effect.gen(function*() {
      const { sql } = yield* open(yield* Effect.promise(databaseFolder))
      const asks = [sql`SELECT 1`, Effect.scoped(sql.reserve), Stream.runDrain(sql`SELECT 1`.stream)]
      yield* Effect.scoped(Effect.gen(function*() {
        yield* sql.reserve
        for (const ask of asks) {
          assert.strictEqual((yield* Effect.flip<unknown, SqlError.SqlError, never>(ask)).message, message)
        }
        const child = yield* Effect.fork(Effect.timed(Effect.flip(sql.withTransaction(sql`SELECT 1`))))
        const [waited, error] = yield* Fiber.join(child)
        assert.strictEqual(error.message, message)
        assert.isAtLeast(Duration.toSeconds(waited), 10)
      }))
      const inside = sql.withTransaction(Effect.scoped(sql.reserve))
      assert.strictEqual((yield* Effect.flip(inside)).message, message)
      yield* sql.withTransaction(Effect.all([...Array.from({ length: 3 }, () => sql`SELECT 1`)], { concurrency: 3 }))
      for (const ask of asks) yield* ask as Effect.Effect<unknown, SqlError.SqlError>
    }))
})

describe("Database on PGlite: its folder", () => {
  it.scopedLive("keeps committed rows", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const first = yield* open(folder)
      yield* first.sql`CREATE TABLE kept AS SELECT 1 AS n`
      yield* first.release
      assert.isFalse(Fs.existsSync(lockOf(folder)))
      const second = yield* open(folder)
      assert.deepStrictEqual(yield* second.sql`SELECT n FROM kept`, [{ n: 1 }])
    }))

  it.scopedLive("a second process fails with an error that names the folder and the first process, which continues", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const { sql } = yield* open(folder)
      const [line] = yield* printed(yield* openElsewhere(folder), /refused .*/)
      assert.include(line, "refused FolderInUse")
      assert.include(line, folder)
      assert.include(line, `process ${process.pid}`)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.isTrue(Fs.existsSync(lockOf(folder)))
    }))

  it.scopedLive("opening it twice in one process fails as well", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      yield* open(folder)
      assert.strictEqual((yield* refusal(folder)).reason, "FolderInUse")
    }))

  it.scopedLive("the lock of a killed process is taken over, with its committed rows", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const child = yield* openElsewhere(folder)
      yield* printed(child, /holds it/)
      assert.include((yield* refusal(folder)).message, `process ${child.process.pid}`)
      child.kill("SIGKILL")
      yield* Effect.promise(() => child.ended)
      const { sql } = yield* open(folder)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scopedLive("of several processes that compete for the lock of a dead one, one gets it", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(folder)
      Fs.writeFileSync(lockOf(folder), lockFor(deadPid()))
      const children = yield* Effect.forEach([1, 2, 3, 4], () => openElsewhere(folder, "lockFolder"))
      const ends = yield* Effect.forEach(children, (child) => printed(child, /holds it|refused \w+/), {
        concurrency: "unbounded"
      })
      const refused = "refused FolderInUse"
      assert.deepStrictEqual(ends.map(([text]) => text).sort(), ["holds it", refused, refused, refused])
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["lastcall.lock"])
    }))

  it.scopedLive.skipIf(process.platform !== "linux")(
    "a process with the pid of a dead one does not hold its lock (where the platform provides start times)",
    () =>
      Effect.gen(function*() {
        const folder = yield* Effect.promise(databaseFolder)
        Fs.writeFileSync(lockOf(folder), lockFor(process.pid, "1"))
        const { sql } = yield* open(folder)
        assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      })
  )

  it.effect("a lock that cannot be parsed is never taken over", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(folder)
      Fs.writeFileSync(lockOf(folder), "")
      assert.include((yield* refusal(folder)).message, "names no process")
    }))

  it.effect("a folder with other content is left unchanged", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(folder)
      Fs.writeFileSync(Path.join(folder, "thesis.txt"), "years of work")
      const error = yield* refusal(folder)
      assert.strictEqual(error.reason, "FolderUnusable")
      assert.include(error.message, folder)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["thesis.txt"])
    }))

  it.effect("a folder that cannot be created is an error that names it", () =>
    Effect.gen(function*() {
      const file = newFolder()
      Fs.writeFileSync(file, "")
      for (const folder of [Path.join(file, "data"), "/proc/data"]) {
        const error = yield* refusal(folder)
        assert.strictEqual(error.reason, "FolderUnusable")
        assert.include(error.message, folder)
      }
    }))

  it.live("a broken database is an error that names its folder, and the lock is released", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      Fs.rmSync(Path.join(folder, "global"), { recursive: true })
      const error = yield* refusal(folder)
      assert.strictEqual(error.reason, "FolderUnusable")
      assert.include(error.message, folder)
      assert.isFalse(Fs.existsSync(lockOf(folder)))
    }))

  it.scopedLive("the next start succeeds after a later start was killed", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      // Killed between creating the file and writing it: PostgreSQL itself would never start again.
      Fs.writeFileSync(Path.join(folder, "postmaster.pid"), "")
      const { sql } = yield* open(folder)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.live("a start that is interrupted releases the folder", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const fiber = yield* Effect.fork(Effect.scoped(open(folder)))
      yield* eventually("the lock is taken", Effect.sync(() => Fs.existsSync(lockOf(folder))))
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isFalse(Fs.existsSync(lockOf(folder)))
      yield* Effect.scoped(open(folder))
    }))

  it.scoped("the lock that a live process took from a dead one meanwhile stays with that process", () =>
    Effect.gen(function*() {
      const path = Path.join(newFolder(), "some.lock")
      Fs.mkdirSync(Path.dirname(path))
      Fs.writeFileSync(path, lockFor(deadPid()))
      yield* afterLockIsRead(() => Fs.writeFileSync(path, lockFor(process.ppid)))
      assert.strictEqual(takeLock(path)._tag, "Refused")
      assert.strictEqual(Fs.readFileSync(path, "utf8"), lockFor(process.ppid))
      assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), ["some.lock"])
    }))
})
