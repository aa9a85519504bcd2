// Lays out what the reference service runs on: `node scripts/production.mjs <directory>`, after `npm ci`.
//
// `npm ci --omit=dev` would not do. To the library, effect and the drivers are peers, and the parser is nothing at all;
// to the service they are dependencies. So the directory gets a package.json that says so, and npm prunes a copy of
// node_modules by it: no second lockfile, and each version is the one that was tested.
import { execSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"

if (process.argv[2] === undefined) throw new Error("usage: node scripts/production.mjs <directory>")
const directory = resolve(process.argv[2])
if (!existsSync("dist/main.js")) throw new Error("dist/main.js is missing: run `npm ci` or `npm run build` first")
if (existsSync(directory)) throw new Error(`${directory} exists already`)

const { devDependencies, engines, name, overrides, peerDependencies, type, version } = JSON.parse(
  readFileSync("package.json", "utf8")
)
const needed = [...Object.keys(peerDependencies), "csv-parse"]
const dependencies = Object.fromEntries(needed.map((name) => [name, devDependencies[name]]))

mkdirSync(directory, { recursive: true })
for (const path of ["dist", "node_modules", "package-lock.json"]) {
  cpSync(path, `${directory}/${path}`, { recursive: true, verbatimSymlinks: true })
}
writeFileSync(
  `${directory}/package.json`,
  JSON.stringify({ name, version, private: true, type, engines, dependencies, overrides }, null, 2)
)
execSync("npm prune --ignore-scripts --no-audit --no-fund", { cwd: directory, stdio: "inherit" })
