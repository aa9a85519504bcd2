// Loads every subpath of the installed package. Each namespace of "lastcall" is the module of its own subpath.
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
  const module = loaded.get(name)
  if (module !== value && module?.[name] !== value) throw new Error(`"lastcall/${name}" is not ${name} of "lastcall"`)
}
console.log(`${loaded.size} subpaths load: ${Array.from(loaded.keys()).join(", ")}`)
