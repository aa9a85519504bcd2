import { readdirSync, readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const src = resolve(dirname(fileURLToPath(import.meta.url)), "../../src")

/** The sources without their comments. */
const sources = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) =>
    [
      path.replaceAll("\\", "/"),
      readFileSync(resolve(src, path), "utf8").replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")
    ] as const
  )

const filesWith = (pattern: RegExp) => sources.filter(([, text]) => pattern.test(text)).map(([path]) => path).sort()

describe("law 5: one place spells the bounded wait, one primitive drains, one state machine says where we are", () => {
  it("nothing but internal/bounded bounds a wait that must hold in a finalizer", () => {
    assert.deepStrictEqual(filesWith(/Effect\.disconnect,\s*Effect\.interruptible,\s*Effect\.timeout/), [])
    assert.deepStrictEqual(
      filesWith(/Effect\.timeout/).filter((path) =>
        !path.startsWith("programs/") && path !== "core/internal/bounded.ts"
      ),
      []
    )
    assert.include(filesWith(/bounded\(/), "core/internal/finalizer.ts")
  })

  it("reports of drains are made by Drain's finalizer, and by launch for what no Drain bounds", () => {
    assert.deepStrictEqual(filesWith(/new DrainReport\(/), [
      "core/internal/finalizer.ts",
      "programs/internal/supervise.ts"
    ])
  })

  it("the lifecycle is kept in one place and moved by launch alone", () => {
    assert.deepStrictEqual(filesWith(/\.transition\(/), ["programs/internal/supervise.ts"])
  })
})

describe("law 6: time is Effect's Clock everywhere", () => {
  it("only the Host, the edge, and the page, which runs in browsers, read or set clocks of their own", () => {
    assert.deepStrictEqual(
      filesWith(/Date\.now|new Date\(\)|performance\.now|(?<!\w|\.)set(Timeout|Interval)\(/),
      ["core/Host.ts", "programs/importer/Page.ts"]
    )
  })
})
