// The pages of the reference name what the sources have: options, errors, metrics, spans and variables.
import { Schema } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { page } from "../scripts/options.mjs"
import { draw } from "../scripts/timeline.mjs"
import { format, ShutdownReport } from "../src/core/ShutdownReport.js"
import { root } from "./kit/docs.js"

const read = (path: string) => readFileSync(join(root, path), "utf8")

/** The sources of the library, without the reference service. */
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts") && !path.startsWith("programs/importer"))
  .map((path) => read(join("src", path)))

const found = (pattern: RegExp, texts = sources) =>
  Array.from(new Set(texts.flatMap((text) => Array.from(text.matchAll(pattern), ([, name]) => name!)))).sort()

/** The names that a page does not have in code quotes. */
const missing = (names: ReadonlyArray<string>, path: string) => {
  const quoted = new Set(Array.from(read(path).matchAll(/`([^`\n]+)`/g), ([, code]) => code))
  return names.filter((name) => !quoted.has(name))
}

describe("the reference", () => {
  it("docs/options.md is what the doc comments say: npm run options writes it", () => {
    assert.strictEqual(read("docs/options.md"), page())
  })

  it("docs/drain.svg, which npm run timeline draws, and the tree of the README are the report in docs/drain.json", () => {
    const report = Schema.decodeUnknownSync(ShutdownReport)(JSON.parse(read("docs/drain.json")))
    assert.strictEqual(read("docs/drain.svg"), draw(Schema.encodeSync(ShutdownReport)(report)))
    assert.include(read("README.md"), `^C\n${format(report)}\n`)
  })

  it("the figures of docs/why.md are those of bench/README.md", () => {
    const measured = read("bench/README.md").replaceAll(",", "")
    const figures = found(/^\|(.*)\|$/gm, [read("docs/why.md")])
      .flatMap((row) => Array.from(row.matchAll(/\d[\d,]*(?:\.\d+)?/g), ([figure]) => figure.replaceAll(",", "")))
    assert.isAbove(figures.length, 50)
    assert.deepStrictEqual(figures.filter((figure) => !measured.includes(figure)), [])
  })

  it("docs/errors.md has every error", () => {
    const names = found(/@category errors\n \*\/\nexport class (\w+)/g)
    assert.isAbove(names.length, 10)
    assert.deepStrictEqual(missing(names, "docs/errors.md"), [])
  })

  it("docs/observing.md has every metric", () => {
    const names = found(/(?:gauge|counter|timerKey)\(\s*"(lastcall_\w+)"/g)
    assert.isAbove(names.length, 5)
    assert.deepStrictEqual(missing(names, "docs/observing.md"), [])
  })

  it("docs/observing.md has every span", () => {
    const makers = sources.map(withoutComments).filter((text) => /Span\(/.test(text))
    // Those of a resource are its name and one of these.
    assert.deepStrictEqual(found(/`\$\{[\w.]+\}(\.[a-z]+)`/g, makers), [".process", ".run"])
    const names = [
      "<pool>.process",
      "<consumer>.process",
      "<task>.run",
      ...found(/(?:use|with)Span\(\s*"([\w.]+)"/g, makers)
    ]
    assert.include(names, "sql.transaction")
    assert.deepStrictEqual(missing(names, "docs/observing.md"), [])
  })

  it("docs/observing.md has every variable of the environment", () => {
    const names = found(
      /(?:Config\.\w+|[fF]romEnvironment)\((?:"\w+", )?"([A-Z][A-Z_]+)"/g,
      sources.map(withoutComments)
    )
    assert.includeMembers([...names], [
      "DATABASE_URL",
      "GRACE_PERIOD",
      "LISTEN_FDS",
      "PRE_STOP_DELAY",
      "SHUTDOWN_REPORT"
    ])
    assert.deepStrictEqual(missing(names, "docs/observing.md"), [])
  })
})

function withoutComments(text: string): string {
  return text.replaceAll(/^ *\*.*$/gm, "")
}
