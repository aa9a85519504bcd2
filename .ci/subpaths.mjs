// Loads every subpath of the installed package. Each export of "lastcall" is the module of its own subpath, or an export of it.
import * as lastcall from "lastcall"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"

const { exports } = JSON.parse(readFileSync("node_modules/lastcall/package.json", "utf8"))
const subpaths = Object.keys(exports).filter((subpath) => subpath.startsWith("./") && !subpath.endsWith(".json"))
const loaded = new Map()
for (const subpath of subpaths) {
  const module = await import(`lastcall/${subpath.slice(2)}`)
  const types = readFileSync(`node_modules/lastcall/${exports[subpath].types}`, "utf8")
  // A module of types alone is empty when it runs.
  if (Object.keys(module).length === 0 && !/^export (interface|type) /m.test(types)) {
    throw new Error(`${subpath} exports nothing`)
  }
  loaded.set(subpath.slice(2), module)
}
for (const [name, value] of Object.entries(lastcall)) {
  const found = loaded.get(name) === value || [...loaded.values()].some((module) => module[name] === value)
  if (!found) throw new Error(`no subpath is ${name} of "lastcall", or exports it`)
}
console.log(`${loaded.size} subpaths load: ${Array.from(loaded.keys()).join(", ")}`)

// A CommonJS app can load it, too.
if (createRequire(import.meta.url)("lastcall").launch !== lastcall.launch) throw new Error("require loads another copy")
