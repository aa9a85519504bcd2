// Gives this package, and the template that it copies, the version of lastcall: they are released together.
import { readFileSync, writeFileSync } from "node:fs"

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"))
const write = (path, manifest) =>
  writeFileSync(new URL(path, import.meta.url), `${JSON.stringify(manifest, undefined, 2)}\n`)

const { version } = read("../package.json")
write("package.json", { ...read("package.json"), version })
const template = read("../examples/template/package.json")
write("../examples/template/package.json", {
  ...template,
  dependencies: { ...template.dependencies, lastcall: version }
})
