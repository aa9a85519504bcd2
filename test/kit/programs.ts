import { type BuildOptions, buildSync } from "esbuild"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { Child } from "./child.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const cache = Path.join(root, "node_modules/.cache/lastcall-tests")

/** The programs of one run of the tests: sources may change between two runs, and two runs may overlap. */
const runFolder = (): string => Path.join(cache, process.env["LASTCALL_RUN"] ?? `pid-${process.pid}`)

/** Starts a run: programs built from here on are shared by all workers. */
export const startRun = (): void => {
  process.env["LASTCALL_RUN"] = `run-${process.pid}-${Date.now().toString(36)}`
}

/** Removes the programs of this run, and those that an interrupted run left behind a day ago or earlier. */
export const endRun = (): void => {
  Fs.rmSync(runFolder(), { recursive: true, force: true })
  if (!Fs.existsSync(cache)) return
  const yesterday = Date.now() - 24 * 60 * 60 * 1000
  for (const name of Fs.readdirSync(cache)) {
    const folder = Path.join(cache, name)
    if (Fs.statSync(folder).mtimeMs < yesterday) Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** Makes `name` in the folder of the run unless it is there. Another worker never sees a half-made one. */
const once = (name: string, make: (draft: string) => void): string => {
  const path = Path.join(runFolder(), name)
  if (Fs.existsSync(path)) return path
  Fs.mkdirSync(runFolder(), { recursive: true })
  const draft = Fs.mkdtempSync(Path.join(runFolder(), "draft-"))
  const made = Path.join(draft, name)
  make(made)
  try {
    Fs.renameSync(made, path)
  } catch (error) {
    // A folder cannot replace the one that another worker has made meanwhile, which is as good.
    if (!Fs.existsSync(path)) throw error
  }
  Fs.rmSync(draft, { recursive: true })
  return path
}

const common: BuildOptions = {
  platform: "node",
  format: "esm",
  logLevel: "error",
  absWorkingDir: root,
  conditions: ["@lastcall/source"]
}

/** A TypeScript program, named by its path from the root, as one file for Node. It starts in half the time of many files. */
export const bundle = (program: string): string =>
  once(program.replaceAll("/", "-").replace(/\.ts$/, ".mjs"), (outfile) =>
    buildSync({
      ...common,
      entryPoints: [program],
      outfile,
      bundle: true,
      // Keeps the names of functions, which stack traces show.
      minifyWhitespace: true,
      // It looks for its wasm file beside its own module.
      external: ["@electric-sql/pglite"],
      // CommonJS packages in the bundle load Node's modules with `require`.
      banner: {
        js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)"
      }
    }))

/** In src. In dist the built page is at the same place. */
const pageSources = Path.join("programs", "importer", "page")

/** The page of the importer, built. */
export const page = (): string =>
  once("page", (folder) => {
    execFileSync(process.execPath, [Path.join(root, "scripts/page.mjs"), folder])
  })

/** A folder with `package.json` and `dist`, compiled from the sources as they are now: `npm run build` may be older. */
export const installation = (): string =>
  once("installation", (folder) => {
    const sources = Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
    buildSync({
      ...common,
      entryPoints: sources.filter((path) => path.endsWith(".ts") && !path.startsWith(pageSources)).map((path) =>
        Path.join("src", path)
      ),
      outdir: Path.join(folder, "dist"),
      tsconfig: "tsconfig.build.json"
    })
    Fs.cpSync(page(), Path.join(folder, "dist", pageSources), { recursive: true })
    Fs.copyFileSync(Path.join(root, "package.json"), Path.join(folder, "package.json"))
  })

/** Runs a program of test/fixtures. */
export const runFixture = (path: string, env: Record<string, string> = {}, args: ReadonlyArray<string> = []): Child =>
  new Child(process.execPath, [bundle(`test/fixtures/${path}`), ...args], env)
