// The programs and commands that pages show, run as a reader runs them.
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, test } from "vitest"
import { Child } from "../kit/child.js"
import { blocksOf, modulesOf, pages, readerFolder, root, writeModules } from "../kit/docs.js"
import { databaseFolder } from "../kit/pglite.js"
import { bundle } from "../kit/programs.js"
import { it, type Start } from "../kit/service.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"

/** A program that a page shows: what it launches, or the layer that its last constant is, launched. */
const programsOf = (page: string): ReadonlyArray<string> => {
  const modules = modulesOf(page).filter(([file]) => !file.endsWith(".test.ts"))
  const launched = modules.filter(([, code]) => /\blaunch\([^]*NodeRuntime\.runMain/.test(code)).map(([file]) => file)
  return launched.length > 0 || !modules.some(([, code]) => code.includes("const App")) ? launched : ["launch.ts"]
}

for (const page of pages) {
  for (const program of programsOf(page)) {
    test(`the program of ${page}, ${program}, serves and stops on SIGTERM`, async () => {
      const folder = writeModules(page)
      if (program === "launch.ts") {
        const [file, code] = modulesOf(page).find(([, code]) => code.includes("const App"))!
        Fs.writeFileSync(
          Path.join(folder, "launch.ts"),
          `${code.replaceAll("port: 3000", "port: 0")}
import { NodeRuntime } from "@effect/platform-node"
import { launch } from "lastcall"
App.pipe(launch(), NodeRuntime.runMain)
`
        )
        assert.match(file, /\.ts$/)
      }
      const child = new Child(process.execPath, [bundle(Path.relative(root, Path.join(folder, program)))])
      try {
        await child.waitFor(/running; stops within/)
        child.kill("SIGTERM")
        assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
      } finally {
        await child.end()
      }
    })
  }
}

/** Runs the lines of a block with bash, in order, and stops at the first that fails. Resolves to the outputs. */
const runLines = async (lines: ReadonlyArray<string>, folder: string): Promise<string> => {
  const child = new Child("bash", ["-euo", "pipefail", "-c", lines.join("\n")], {}, folder)
  assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
  return child.output
}

describe("docs/bundling.md", () => {
  const commands = blocksOf("docs/bundling.md").map(({ code }) => code.replaceAll("\\\n", " ").trim().split("\n"))
    .flat()
    .filter((line) => line !== "")
  for (const [index, command] of commands.entries()) {
    test(`command ${index + 1} bundles an app that runs`, async () => {
      const folder = readerFolder()
      writeModules("docs/start.md", Path.join(folder, "src"))
      const esbuild = `${
        Path.join(root, "node_modules/.bin/esbuild")
      } --conditions=@lastcall/source --log-level=warning`
      assert.strictEqual(await runLines([command.replace("npx esbuild", esbuild)], folder), "")
      const child = new Child(process.execPath, [/--outfile=(\S+)/.exec(command)![1]!], {}, folder)
      try {
        await child.waitFor(/running; stops within/)
      } finally {
        await child.end()
      }
    })
  }
})

describe("docs/importer.md", () => {
  it("the commands of the importer's API do what their comments say", async ({ start }: { readonly start: Start }) => {
    const folder = temporaryFolder()
    Fs.renameSync(await databaseFolder(), Path.join(folder, "data"))
    const service = start({}, folder)
    await service.runs()
    const at = new URL(await service.api.url("/")).host
    const lines = blocksOf("docs/importer.md")
      .filter(({ language }) => language === "sh")
      .flatMap(({ code }) => code.trim().split("\n"))
      .filter((line) => line.startsWith("curl "))
      .map((line) =>
        line.replace(/ +#.*$/, "").replaceAll("localhost:3000", at).replace(/^curl /, "curl -sSg --max-time 60 ")
          // Without end while the service runs.
          .replace(/service\/events$/, "$& | head -n 6 || true")
      )
    assert.isAbove(lines.length, 5)
    Fs.writeFileSync(Path.join(folder, "people.csv"), "name,born\nada,1815-12-10\ngrace,someday\n")
    const [post, ...others] = lines
    const response = await runLines([post!], folder)
    const id = /"id":"([^"]+)"/.exec(response)![1]!
    await service.api.completed(id)
    const output = await runLines([`ID=${id}`, ...others], folder)
    assert.include(output, "\"rowsLoaded\":1")
    assert.include(output, "\"rowsRejected\":1")
    assert.include(output, "event: progress")
    assert.include(output, "event: service")
  })
})
