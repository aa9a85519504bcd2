// Installs that lack optional peers: apps that need none bundle and run, and apps that do say which.
import * as Esbuild from "esbuild"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { Child } from "../kit/child.js"
import { installation } from "../kit/programs.js"
import { temporaryFolder } from "../kit/temporaryFolder.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const { peerDependencies } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8")) as {
  readonly peerDependencies: Readonly<Record<string, string>>
}

/** A folder outside of the repository with an app, the built package, its required peers and these optional ones. */
const install = (app: string, optional: ReadonlyArray<string> = []) => {
  const folder = temporaryFolder()
  const modules = Path.join(folder, "node_modules")
  Fs.cpSync(installation(), Path.join(modules, "lastcall"), { recursive: true })
  for (const name of ["effect", "@effect/platform", "@effect/platform-node", ...optional]) {
    Fs.mkdirSync(Path.dirname(Path.join(modules, name)), { recursive: true })
    Fs.symlinkSync(Path.join(root, "node_modules", name), Path.join(modules, name))
  }
  Fs.writeFileSync(Path.join(folder, "app.mjs"), app)
  return folder
}

const run = (script: string, cwd: string) => new Child(process.execPath, [script], {}, cwd)

const service = `
import { HttpRouter, HttpServer as Platform, HttpServerResponse } from "@effect/platform"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Effect, Layer } from "effect"
import { Drain, HttpServer, launch } from "lastcall"
import { createServer } from "node:http"

const App = Platform.serve(HttpRouter.empty.pipe(HttpRouter.get("/", HttpServerResponse.text("hello")))).pipe(
  Layer.provide(HttpServer.withLogAddress(HttpServer.layer(createServer, { port: 0 }))),
  Layer.provide(Layer.empty.pipe(Drain.layer("nothing")))
)

App.pipe(launch(), NodeRuntime.runMain)
`

/** Bundles the app as users would, into a folder of its own without `node_modules`. */
const bundle = async (app: string, format: "esm" | "cjs") => {
  const outfile = Path.join(temporaryFolder(), `app.${format === "esm" ? "mjs" : "cjs"}`)
  const { errors, warnings } = await Esbuild.build({
    absWorkingDir: install(app),
    entryPoints: ["app.mjs"],
    bundle: true,
    platform: "node",
    format,
    outfile,
    logLevel: "silent",
    // CommonJS dependencies of @effect/platform-node require Node's modules, which ESM does not let them.
    ...format === "esm" && {
      banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url)` }
    }
  })
  assert.deepStrictEqual([errors, warnings], [[], []])
  return outfile
}

describe("an app of Drain, launch and HttpServer, without any optional peer", () => {
  for (const format of ["esm", "cjs"] as const) {
    it(`bundles as ${format} without externals or warnings, and stops on SIGTERM`, async () => {
      const script = await bundle(service, format)
      const child = run(script, Path.dirname(script))
      try {
        const [, url] = await child.waitFor(/listening on (http:\/\/\S+?)"?\s/)
        await child.waitFor(/running; stops within/)
        assert.strictEqual(await (await fetch(url!)).text(), "hello")
        child.kill("SIGTERM")
        assert.deepStrictEqual(await child.ended, { code: 0, signal: null }, child.output)
      } finally {
        await child.end()
      }
    })
  }
})

const launching = (layer: string) => `
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Redacted } from "effect"
import { Database, JobSourceRedis, launch } from "lastcall"

${layer}.pipe(launch(), NodeRuntime.runMain)
`

const url = (text: string) => `{ url: Redacted.make("${text}") }`

describe("a start without its optional peers fails with one line that names all of them and installs them:", () => {
  const sql = ["@effect/experimental", "@effect/sql", "@effect/sql-pg", "pg"]
  for (
    const [module, layer, installed, missing] of [
      ["Database on PGlite", `Database.layer(${url("pglite:./data")})`, [], [...sql, "@electric-sql/pglite"]],
      ["Database on PostgreSQL", `Database.layer(${url("postgres://a@127.0.0.1:1/b")})`, ["pg"], sql.slice(0, 3)],
      ["JobSourceRedis", `JobSourceRedis.layer(${url("redis://127.0.0.1:1")})`, [], ["bullmq", "ioredis"]]
    ] as const
  ) {
    it(`${module}, without ${missing.join(", ")}`, async () => {
      const folder = install(launching(layer), installed)
      const child = run("app.mjs", folder)
      try {
        assert.deepStrictEqual(await child.ended, { code: 1, signal: null }, child.output)
        const command = `npm install ${missing.map((name) => `${name}@${peerDependencies[name]}`).join(" ")}`
        assert.include(child.output, `cannot start: ${module} needs packages that are not installed: ${command}`)
        assert.notInclude(child.output, "ERR_MODULE_NOT_FOUND")
        assert.isFalse(Fs.existsSync(Path.join(folder, "data")), "nothing was opened")
      } finally {
        await child.end()
      }
    })
  }

  for (const format of ["esm", "cjs"] as const) {
    it(`a bundle (${format}) that was made without them`, async () => {
      const script = await bundle(launching(`JobSourceRedis.layer(${url("redis://127.0.0.1:1")})`), format)
      const child = run(script, Path.dirname(script))
      try {
        assert.deepStrictEqual(await child.ended, { code: 1, signal: null }, child.output)
        const [bullmq, ioredis] = [peerDependencies["bullmq"], peerDependencies["ioredis"]]
        assert.include(child.output, `not installed: npm install bullmq@${bullmq} ioredis@${ioredis}`)
      } finally {
        await child.end()
      }
    })
  }
})
