// Draws the rooms of src and their imports into ARCHITECTURE.md: npm run picture.
// Reads what dependency-cruiser found, as JSON, from standard input.
import { readFileSync, writeFileSync } from "node:fs"
import { text } from "node:stream/consumers"

const file = "ARCHITECTURE.md"
const begin = "<!-- npm run picture -->"
const end = "<!-- end of the picture -->"

const roomOf = (path) =>
  /^src\/(main|core|layers\/jobs\/(?:sql|redis)|layers\/[^/]+|programs\/importer|programs|testing)\b/.exec(path)
    ?.[1]

const { modules } = JSON.parse(await text(process.stdin))

/** The rooms that each room imports. */
const imports = new Map()
for (const { dependencies, source } of modules) {
  const room = roomOf(source)
  if (room === undefined) continue
  if (!imports.has(room)) imports.set(room, new Set())
  for (const { resolved } of dependencies) {
    const other = roomOf(resolved)
    if (other !== undefined && other !== room) imports.get(room).add(other)
  }
}

const reaches = (from, to, passed = new Set([from])) =>
  Array.from(imports.get(from)).some((next) =>
    next === to || (!passed.has(next) && reaches(next, to, passed.add(next)))
  )

/** An arrow that a longer way implies is left out. */
const isDirect = (from, to) => !Array.from(imports.get(from)).some((next) => next !== to && reaches(next, to))

const rooms = Array.from(imports.keys()).sort()
const name = (room) => room.replaceAll("/", "_")
const picture = [
  "```mermaid",
  "flowchart TD",
  ...rooms.map((room) => `  ${name(room)}["${room}"]`),
  ...rooms.flatMap((room) =>
    Array.from(imports.get(room)).sort().filter((other) => isDirect(room, other))
      .map((other) => `  ${name(room)} --> ${name(other)}`)
  ),
  "```"
].join("\n")

const document = readFileSync(file, "utf8")
const [before, rest] = document.split(`${begin}\n`)
const after = rest?.split(end)[1]
if (after === undefined) throw new Error(`${file} lacks the lines "${begin}" and "${end}"`)
writeFileSync(file, `${before}${begin}\n${picture}\n${end}${after}`)
