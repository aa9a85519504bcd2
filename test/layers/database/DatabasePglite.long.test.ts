import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Child } from "../../kit/child.js"
import { openDatabase } from "../../kit/database.js"
import { newFolder } from "../../kit/pglite.js"

describe("Database on PGlite: its folder", () => {
  it.scopedLive("a first start that is killed half way is begun anew by the next", () =>
    Effect.gen(function*() {
      const folder = newFolder()
      const fixture = fileURLToPath(new URL("../../fixtures/openFolder.ts", import.meta.url))
      for (const seen of ["lastcall.new", "base", "PG_VERSION", "pg_wal"]) {
        const child = new Child(process.execPath, ["--import", "tsx", fixture, folder])
        while (!Fs.existsSync(Path.join(folder, seen)) && !child.output.includes("holds it")) {
          yield* Effect.sleep("5 millis")
        }
        yield* Effect.promise(() => child.end())
      }
      const { sql } = yield* openDatabase(`pglite:${folder}`)
      assert.deepStrictEqual(yield* sql`SELECT 1 AS n`, [{ n: 1 }])
      assert.deepStrictEqual(Fs.readdirSync(folder).filter((name) => name.startsWith("lastcall")), ["lastcall.lock"])
    }))
})
