// Finds import cycles: `node scripts/cycles.mjs src`. Modules that need each other cannot be read, tested or replaced
// alone, and what one sees of the other while they load depends on who came first. `import type` does not count: it is
// gone by then.
import { readdirSync, readFileSync } from "node:fs"
import { join, posix, relative } from "node:path"
import { pathToFileURL } from "node:url"
import ts from "typescript"

const imported = (name, text) =>
  ts.createSourceFile(name, text, ts.ScriptTarget.Latest).statements.flatMap((statement) => {
    const typesOnly = statement.importClause?.isTypeOnly || statement.isTypeOnly
    return statement.moduleSpecifier !== undefined && !typesOnly && statement.moduleSpecifier.text.startsWith(".")
      ? [statement.moduleSpecifier.text]
      : []
  })

/** The first cycle in a map of file name to source text, as the list of names along it, or undefined. */
export const findCycle = (files) => {
  const done = new Set()
  const path = []
  const visit = (name) => {
    if (done.has(name)) return undefined
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name]
    path.push(name)
    for (const specifier of imported(name, files.get(name))) {
      const next = posix.join(posix.dirname(name), specifier).replace(/\.js$/, ".ts")
      const cycle = files.has(next) ? visit(next) : undefined
      if (cycle !== undefined) return cycle
    }
    path.pop()
    done.add(name)
    return undefined
  }
  for (const name of files.keys()) {
    const cycle = visit(name)
    if (cycle !== undefined) return cycle
  }
  return undefined
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const names = readdirSync(process.argv[2], { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(".", join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
  const cycle = findCycle(new Map(names.map((name) => [name, readFileSync(name, "utf8")])))
  console.log(cycle === undefined ? `no import cycles in ${names.length} files` : `import cycle: ${cycle.join(" -> ")}`)
  process.exitCode = cycle === undefined ? 0 : 1
}
