import { ESLint } from "eslint"
import { fileURLToPath } from "node:url"
import tseslint from "typescript-eslint"
import { describe, expect, it } from "vitest"
import { findCycle } from "../scripts/cycles.mjs"

const cwd = fileURLToPath(new URL("..", import.meta.url))
// The text is linted as if it stood in a file that need not exist, so the rules that need types are off, but for their own test.
const house = new ESLint({ cwd, overrideConfig: [{ files: ["**/*.ts"], ...tseslint.configs.disableTypeChecked }] })
const typed = new ESLint({ cwd })

const effect = "import { Effect } from \"effect\"\nexport const x = "

const messages = async (eslint: ESLint, filePath: string, text: string) => {
  const results = await eslint.lintText(text, { filePath })
  return results.flatMap((result) => result.messages.map((message) => message.message))
}

const imports = (from: string, specifier: string) =>
  messages(house, from, `import { it } from "${specifier}"\nexport const x = it\n`)

describe("who may not import whom", () => {
  it.each([
    ["src/layers/Drain.ts", "../../test/kit.js", "src never imports test"],
    ["src/programs/launch.ts", "../main.js", "Nothing in src imports main or index"],
    ["src/testing/TestApp.ts", "lastcall", "Nothing in src imports main or index"],
    ["src/layers/Drain.ts", "../programs/launch.js", "a layer does not know who runs it"],
    ["src/layers/Drain.ts", "../testing/Journal.js", "a layer does not know who runs it"],
    ["src/layers/internal/inFlight.ts", "../WorkerPool.js", "never the leaf they serve"],
    ["src/layers/internal/http/sockets.ts", "../../HttpServer.js", "never the leaf they serve"],
    ["src/layers/WorkerPool.ts", "./Database.js", "Leaves meet only through Tags"],
    ["src/layers/JobSource.ts", "./JobSourcePgBoss.js", "Leaves meet only through Tags"],
    ["src/layers/Health.ts", "./HttpServer.js", "Leaves meet only through Tags"],
    ["src/programs/launch.ts", "../layers/HttpServer.js", "launch imports no leaf"],
    ["src/programs/launch.ts", "../layers/internal/http/sockets.js", "launch imports no leaf"],
    ["src/programs/launch.ts", "./importer/Api.js", "launch is published and the importer is not"],
    ["src/programs/importer/Api.ts", "../../layers/internal/bounded.js", "internal is for layers and launch"],
    ["src/programs/importer/Api.ts", "../internal/signals.js", "internal is for layers and launch"],
    ["src/programs/internal/signals.ts", "../../layers/HttpServer.js", "launch imports no leaf"],
    ["src/main.ts", "./testing/index.js", "lastcall/testing is for tests"],
    [
      "src/testing/TestApp.ts",
      "../programs/importer/Api.js",
      "testing may import layers, launch and its internals alone"
    ],
    ["src/layers/WorkerPool.ts", "node:http", "Node's servers and sockets belong to the HttpServer leaf"],
    ["src/layers/Host.ts", "net", "Node's servers and sockets belong to the HttpServer leaf"],
    ["src/layers/WorkerPool.ts", "pg", "Database drivers belong to the Database leaf"],
    ["src/programs/importer/Api.ts", "@electric-sql/pglite", "Database drivers belong to the Database leaf"],
    ["src/programs/importer/Api.ts", "@effect/sql-pg", "Database drivers belong to the Database leaf"],
    ["src/layers/JobSource.ts", "pg-boss", "pg-boss belongs to its JobSource engine"],
    ["src/layers/JobSourceRedis.ts", "pg-boss", "pg-boss belongs to its JobSource engine"],
    ["src/layers/JobSourceSql.ts", "bullmq", "BullMQ, with its driver, belongs to its JobSource engine"],
    ["src/layers/WorkerPool.ts", "ioredis", "BullMQ, with its driver, belongs to its JobSource engine"],
    ["src/layers/Shutdown.ts", "node:process", "process is touched in Host alone"],
    ["src/layers/Shutdown.ts", "lodash", "The library has no dependencies but its peers"],
    ["src/layers/Shutdown.ts", "csv-parse", "The library has no dependencies but its peers"]
  ])("%s -> %s", async (from, specifier, message) => {
    expect(await imports(from, specifier)).toEqual([expect.stringContaining(message)])
  })

  it("says the same of a dynamic import, a re-export and an import of types", async () => {
    for (
      const text of [
        "export const x = () => import(\"pg\")\n",
        "export { Pool } from \"pg\"\n",
        "export * from \"pg\"\n",
        "import type { Pool } from \"pg\"\nexport const x = (pool: Pool) => pool\n",
        "export const x = (pool: import(\"pg\").Pool) => pool\n"
      ]
    ) {
      expect(await messages(house, "src/layers/Shutdown.ts", text)).toContainEqual(
        expect.stringContaining("Database drivers belong to the Database leaf")
      )
    }
  })
})

describe("who may import whom", () => {
  it.each([
    ["src/main.ts", "./programs/importer/Api.js"],
    ["src/index.ts", "./layers/Drain.js"],
    ["src/index.ts", "./programs/launch.js"],
    ["src/programs/launch.ts", "../layers/Shutdown.js"],
    ["src/programs/importer/Api.ts", "../../layers/WorkerPool.js"],
    ["src/programs/importer/rows.ts", "csv-parse"],
    ["src/layers/WorkerPool.ts", "./JobSource.js"],
    ["src/layers/JobSourcePgBoss.ts", "./JobSource.js"],
    ["src/layers/internal/jobSourceSql/open.ts", "pg-boss"],
    ["src/layers/internal/jobSourceRedis/queue.ts", "bullmq"],
    ["src/layers/internal/jobSourceRedis/connect.ts", "ioredis"],
    ["src/layers/HttpServer.ts", "./Drain.js"],
    ["src/layers/HttpServer.ts", "node:http"],
    ["src/layers/internal/http/sockets.ts", "node:net"],
    ["src/layers/internal/http/sockets.ts", "../../Shutdown.js"],
    ["src/layers/Database.ts", "pg"],
    ["src/layers/internal/database/pglite.ts", "@electric-sql/pglite"],
    ["src/testing/TestApp.ts", "../programs/launch.js"],
    ["test/lint.test.ts", "../src/index.js"]
  ])("%s -> %s", async (from, specifier) => {
    expect(await imports(from, specifier)).toEqual([])
  })

  it("lets an internal module know the types of its leaf", async () => {
    const text = "import type { Options } from \"../HttpServer.js\"\nexport const x = (options: Options) => options\n"
    expect(await messages(house, "src/layers/internal/sockets.ts", text)).toEqual([])
  })
})

describe("what may not be called", () => {
  it.each([
    ["src/layers/Drain.ts", "export const x = process.pid\n", "process is touched in Host alone"],
    ["src/main.ts", "export const x = globalThis.process\n", "process is touched in Host alone"],
    ["src/layers/Drain.ts", `${effect}Effect.runFork(Effect.void)\n`, "No bare Effect.run*"],
    ["src/programs/launch.ts", `${effect}Effect.runPromise(Effect.void)\n`, "No bare Effect.run*"],
    ["src/layers/internal/bounded.ts", `${effect}Effect.runSync(Effect.void)\n`, "No bare Effect.run*"],
    ["src/layers/Drain.ts", `${effect}Effect.timeout(Effect.void, "1 second")\n`, "No Effect.timeout* in layers"],
    ["src/layers/Drain.ts", `${effect}Effect.timeoutOption(Effect.void, "1 second")\n`, "No Effect.timeout* in layers"],
    ["src/layers/Drain.ts", "console.log(\"hi\")\n", "Unexpected console statement"],
    ["src/layers/Drain.ts", "export const x = (a: any) => a\n", "Unexpected any"],
    ["src/layers/Drain.ts", "export const x = 1\n".repeat(301), "File has too many lines"],
    ["src/layers/Drain.ts", "export const x = 1;\n", "Extra code \";\"."]
  ])("$0: $2", async (file, text, message) => {
    expect(await messages(house, file, text)).toContainEqual(expect.stringContaining(message))
  })

  it.each([
    ["src/layers/Host.ts", "export const x = process.pid\n"],
    ["src/layers/internal/bounded.ts", `${effect}Effect.timeout(Effect.void, "1 second")\n`],
    ["src/programs/importer/Upload.ts", `${effect}Effect.timeout(Effect.void, "1 second")\n`]
  ])("but it may be in $0", async (file, text) => {
    expect(await messages(house, file, text)).toEqual([])
  })

  it("a promise is not left floating", async () => {
    expect(await messages(typed, "src/layers/internal/bounded.ts", "Promise.resolve(1)\n")).toEqual([
      expect.stringContaining("Promises must be awaited")
    ])
  })
})

describe("import cycles", () => {
  it("are found through any number of modules", () => {
    const files = new Map([
      ["src/a.ts", "import { b } from \"./b.js\""],
      ["src/b.ts", "export { c } from \"./deep/c.js\""],
      ["src/deep/c.ts", "import { a } from \"../a.js\""]
    ])
    expect(findCycle(files)).toEqual(["src/a.ts", "src/b.ts", "src/deep/c.ts", "src/a.ts"])
  })

  it("are none where two modules meet in a third, or know each other's types", () => {
    const files = new Map([
      ["src/a.ts", "import { b } from \"./b.js\"\nimport { c } from \"./c.js\""],
      ["src/b.ts", "import { c } from \"./c.js\""],
      ["src/c.ts", "import type { a } from \"./a.js\""]
    ])
    expect(findCycle(files)).toBeUndefined()
  })
})
