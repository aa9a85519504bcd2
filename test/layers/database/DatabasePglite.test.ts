import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { openDataFolder } from "../../../src/layers/database/internal/dataFolder.js"
import type { Child } from "../../kit/child.js"
import { openDatabase } from "../../kit/database.js"
import { databaseFolder, newFolder } from "../../kit/pglite.js"
import { runFixture } from "../../kit/programs.js"
import { eventually } from "../../kit/until.js"

const lockOf = (folder: string) => Path.join(folder, "lastcall.lock")
const open = (folder: string) => openDatabase(`pglite:${folder}`)
const refusal = (folder: string) => Effect.flip(Effect.scoped(open(folder)))

/** Another process on the folder. It is killed after the test, if it is still there. */
const openElsewhere = (folder: string, fixture = "openFolder") =>
  Effect.acquireRelease(
    Effect.sync(() => runFixture(`${fixture}.ts`, {}, [folder])),
    (child) => Effect.promise(() => child.end())
  )

const said = (child: Child, pattern: RegExp) => Effect.promise(() => child.said(pattern))

/** A process that has died, and whose number nobody has yet. */
const deadPid = () => spawnSync(process.execPath, ["-e", ""]).pid

const lockFor = (pid: number, began = "") => JSON.stringify({ pid, host: Os.hostname(), began })

describe("Database on PGlite: its folder", () => {
  it.scopedLive("keeps what was written", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const first = yield* open(folder)
      yield* first.sql`CREATE TABLE kept AS SELECT 1 AS n`
      yield* first.release
      assert.isFalse(Fs.existsSync(lockOf(folder)))
      const second = yield* open(folder)
      assert.deepStrictEqual(yield* second.sql`SELECT n FROM kept`, [{ n: 1 }])
    }))

  it.scopedLive("a second process is refused by name, folder and number, and the first goes on", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const { sql } = yield* open(folder)
      const [line] = yield* said(yield* openElsewhere(folder), /refused .*/)
      assert.include(line, "refused FolderInUse")
      assert.include(line, folder)
      assert.include(line, `process ${process.pid}`)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.isTrue(Fs.existsSync(lockOf(folder)))
    }))

  it.scopedLive("a second opening by the same process is refused as well", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      yield* open(folder)
      assert.strictEqual((yield* refusal(folder)).reason, "FolderInUse")
    }))

  it.scopedLive("the lock of a process that was killed is taken over, with what it had committed", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const child = yield* openElsewhere(folder)
      yield* said(child, /holds it/)
      assert.include((yield* refusal(folder)).message, `process ${child.process.pid}`)
      child.kill("SIGKILL")
      yield* Effect.promise(() => child.ended)
      const { sql } = yield* open(folder)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scopedLive("of several processes that compete for a dead one's lock, one gets it", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(folder)
      Fs.writeFileSync(lockOf(folder), lockFor(deadPid()))
      const children = yield* Effect.forEach([1, 2, 3, 4], () => openElsewhere(folder, "lockFolder"))
      const ends = yield* Effect.forEach(children, (child) => said(child, /holds it|refused \w+/), {
        concurrency: "unbounded"
      })
      const refused = "refused FolderInUse"
      assert.deepStrictEqual(ends.map(([text]) => text).sort(), ["holds it", refused, refused, refused])
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["lastcall.lock", "lastcall.new"])
    }))

  it.scopedLive.skipIf(process.platform !== "linux")(
    "a process that got the number of a dead one does not hold its lock (where the platform tells them apart)",
    () =>
      Effect.gen(function*() {
        const folder = yield* Effect.promise(databaseFolder)
        Fs.writeFileSync(lockOf(folder), lockFor(process.pid, "1"))
        const { sql } = yield* open(folder)
        assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      })
  )

  it.effect("a lock of another machine, or one that says nothing, is never taken over", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(folder)
      Fs.writeFileSync(lockOf(folder), JSON.stringify({ pid: deadPid(), host: "elsewhere", began: "" }))
      assert.include((yield* refusal(folder)).message, "on elsewhere")
      Fs.writeFileSync(lockOf(folder), "")
      assert.include((yield* refusal(folder)).message, "names no process")
    }))

  it.effect("a folder that holds something else is left alone", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      Fs.mkdirSync(folder)
      Fs.writeFileSync(Path.join(folder, "thesis.txt"), "years of work")
      const error = yield* refusal(folder)
      assert.strictEqual(error.reason, "FolderUnusable")
      assert.include(error.message, folder)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["thesis.txt"])
    }))

  it.effect("a folder that cannot be made is an error that names it", () =>
    Effect.gen(function*() {
      const file = newFolder()
      Fs.writeFileSync(file, "")
      for (const folder of [Path.join(file, "data"), "/proc/data"]) {
        const error = yield* refusal(folder)
        assert.strictEqual(error.reason, "FolderUnusable")
        assert.include(error.message, folder)
      }
    }))

  it.live("a broken database is an error that names its folder, and the lock is given back", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      Fs.rmSync(Path.join(folder, "global"), { recursive: true })
      const error = yield* refusal(folder)
      assert.strictEqual(error.reason, "FolderUnusable")
      assert.include(error.message, folder)
      assert.isFalse(Fs.existsSync(lockOf(folder)))
    }))

  it.scopedLive("a later start that was killed half way leaves nothing behind that stops the next one", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      // As when it was killed between making the file and filling it: PostgreSQL would never start again.
      Fs.writeFileSync(Path.join(folder, "postmaster.pid"), "")
      const { sql } = yield* open(folder)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
    }))

  it.scoped("what a first start left behind that was killed half way is cleared", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const first = yield* openDataFolder(folder)
      Fs.mkdirSync(Path.join(folder, "base"))
      Fs.writeFileSync(Path.join(folder, "PG_VERSION"), "17")
      yield* first.release
      const second = yield* openDataFolder(folder)
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["lastcall.lock", "lastcall.new"])
      Fs.mkdirSync(Path.join(folder, "base"))
      Fs.writeFileSync(Path.join(folder, "PG_VERSION"), "17")
      yield* second.opened
      yield* second.release
      yield* openDataFolder(folder)
      assert.deepStrictEqual(Fs.readdirSync(folder).sort(), ["PG_VERSION", "base", "lastcall.lock"])
    }))

  it.live("a start that is interrupted leaves the folder free", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.promise(databaseFolder)
      const fiber = yield* Effect.fork(Effect.scoped(open(folder)))
      yield* eventually("the lock is taken", Effect.sync(() => Fs.existsSync(lockOf(folder))))
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isFalse(Fs.existsSync(lockOf(folder)))
      yield* Effect.scoped(open(folder))
    }))
})
