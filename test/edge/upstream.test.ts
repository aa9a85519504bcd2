// The programs of docs/upstream, each about a fault of Node, or of a package that lastcall depends on, or that it replaces.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, it } from "vitest"
import { Child } from "../kit/child.js"
import { describePostgres } from "../kit/postgres.js"

const folder = fileURLToPath(new URL("../../docs/upstream", import.meta.url))
const programs = Fs.readdirSync(folder).filter((name) => name.endsWith(".mjs")).sort()

/** `node20-` in its name: newer versions of Node do not have the fault. */
const isAboutThisNode = (name: string) => {
  const [, version] = /^node(\d+)-/.exec(name) ?? []
  return version === undefined || process.versions.node.startsWith(`${version}.`)
}

describePostgres("docs/upstream", (postgres) => {
  it("names each of its programs", () => {
    const text = Fs.readFileSync(Path.join(folder, "README.md"), "utf8")
    assert.deepStrictEqual([...text.matchAll(/\]\((.*?\.mjs)\)/g)].map(([, name]) => name).sort(), programs)
  })

  it.concurrent.each(programs.filter(isAboutThisNode))("%s shows a fault that still exists", async (name) => {
    const child = new Child(process.execPath, [Path.join(folder, name)], { DATABASE_URL: postgres.url })
    const { code } = await child.ended
    const [expected, actual] = ["expected", "actual"].map((line) =>
      new RegExp(`^${line}: +(.*)$`, "m").exec(child.output)?.[1]
    )
    assert.isDefined(actual, child.output)
    assert.notStrictEqual(actual, expected, "it is mended: remove the program, and what exists because of the fault")
    assert.strictEqual(code, 1, child.output)
  })
})
