// Loads every subpath of the installed package. Each export of "lastcall" is the module of its own subpath, or an export of it.
import * as lastcall from "lastcall"
import { readFileSync } from "node:fs"

const { exports } = JSON.parse(readFileSync("node_modules/lastcall/package.json", "utf8"))
const subpaths = Object.keys(exports).filter((subpath) => subpath.startsWith("./") && !subpath.endsWith(".json"))
const loaded = new Map()
for (const subpath of subpaths) {
  const module = await import(`lastcall/${subpath.slice(2)}`)
  if (Object.keys(module).length === 0) throw new Error(`${subpath} exports nothing`)
  loaded.set(subpath.slice(2), module)
}
for (const [name, value] of Object.entries(lastcall)) {
  const found = loaded.get(name) === value || [...loaded.values()].some((module) => module[name] === value)
  if (!found) throw new Error(`no subpath is ${name} of "lastcall", or exports it`)
}
console.log(`${loaded.size} subpaths load: ${Array.from(loaded.keys()).join(", ")}`)
