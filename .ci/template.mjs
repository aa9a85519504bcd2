// From an empty folder to a green test in two commands: node .ci/template.mjs <folder> <tarball of lastcall>. Packs create-lastcall, runs it
// from its tarball, and then what it says, with the packed lastcall in place of the one in the registry.
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const [folder, tarball] = process.argv.slice(2)
if (tarball === undefined) throw new Error("usage: node .ci/template.mjs <folder> <tarball>")

const run = (cwd, command, ...args) => execFileSync(command, args, { cwd, stdio: ["ignore", "inherit", "inherit"] })
const service = join(folder, "first-service")
mkdirSync(service, { recursive: true })
run("create", "npm", "pack", "--silent", "--pack-destination", folder)
const [packed] = readdirSync(folder).filter((name) => name.startsWith("create-lastcall-"))

/** Runs the packed `create-lastcall` as `npm create lastcall` does. */
const create = (cwd, ...args) =>
  spawnSync("npm", ["exec", "--yes", `--package=${join(folder, packed)}`, "--", "create-lastcall", ...args], {
    cwd,
    encoding: "utf8"
  })

const made = create(service, ".")
if (made.status !== 0 || !made.stdout.includes("npm install-test") || !made.stdout.includes("npm start")) {
  throw new Error(`create-lastcall: exit ${made.status}\n${made.stdout}${made.stderr}`)
}
const manifest = JSON.parse(readFileSync(join(service, "package.json"), "utf8"))
if (manifest.name !== "first-service") throw new Error(`the package is named ${manifest.name}`)
for (const path of readdirSync(service, { recursive: true, withFileTypes: true })) {
  if (path.isFile() && readFileSync(join(path.parentPath, path.name), "utf8").includes("my-service")) {
    throw new Error(`${path.name} still names my-service`)
  }
}

const refusals = [
  [["."], "is not empty"],
  [["../First_Service"], "cannot name the service"],
  [[], "usage: npm create lastcall"]
]
for (const [args, message] of refusals) {
  const { status, stderr } = create(service, ...args)
  if (status !== 1 || !stderr.includes(message)) throw new Error(`create-lastcall ${args}: exit ${status}, ${stderr}`)
}

manifest.dependencies.lastcall = `file:${tarball}`
writeFileSync(join(service, "package.json"), JSON.stringify(manifest))
run(service, "npm", "install-test", "--no-audit", "--no-fund", "--engine-strict")
console.log("the template: from an empty folder to a green test in two commands")
