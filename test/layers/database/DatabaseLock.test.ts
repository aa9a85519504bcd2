import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { assert, describe, it, vi } from "vitest"

/** What others do between two steps of ours: runs once, after the next file was read. */
let meanwhile: (() => void) | undefined

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof Fs>()
  const readFileSync = (...args: Parameters<typeof fs.readFileSync>) => {
    const text = fs.readFileSync(...args)
    if (String(args[0]).endsWith(".lock")) {
      const step = meanwhile
      meanwhile = undefined
      step?.()
    }
    return text
  }
  return { ...fs, readFileSync }
})

describe("Database on PGlite: the lock of its folder", () => {
  it("a lock that a live process took over after it was found dead is left to it", async () => {
    // Files share loaded modules: one that is loaded already has the real node:fs.
    vi.resetModules()
    const { takeLock } = await import("../../../src/layers/database/internal/dataFolder.js")
    const path = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "lastcall-lock-")), "some.lock")
    const by = (pid: number) => JSON.stringify({ pid, host: Os.hostname(), began: "" })
    Fs.writeFileSync(path, by(spawnSync(process.execPath, ["-e", ""]).pid))
    meanwhile = () => Fs.writeFileSync(path, by(process.ppid))
    const refused = takeLock(path)
    assert.strictEqual(refused._tag, "Refused")
    assert.strictEqual(Fs.readFileSync(path, "utf8"), by(process.ppid))
    assert.deepStrictEqual(Fs.readdirSync(Path.dirname(path)), ["some.lock"])
    Fs.rmSync(Path.dirname(path), { recursive: true })
  })
})
