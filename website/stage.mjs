// Copies what the site shows to website/.stage: docs, the documents of the root, and a page for each example. A link from one
// to the other leads to its page; one to a source, which has no page, becomes its text.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"
import { root } from "./contents.mjs"

export const stage = join(root, "website/.stage")

const documents = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]

const examples = readdirSync(join(root, "examples")).filter((name) => /^\d.*\.(ts|mjs)$/.test(name)).sort()

const pagesIn = (folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .map((path) => join(folder, path))
    .filter((path) => path.endsWith(".md") && !/^docs\/(api|upstream)\//.test(path))

/** The page of a file of the repository, from the root of the site; none for what the site does not show. */
const pageOf = (path) => {
  if (path === "README.md") return "index.md"
  if (path === "examples") return "examples/index.md"
  if (documents.includes(path)) return path.toLowerCase()
  if (/^docs\/.+\.(md|svg|png)$/.test(path)) return relative("docs", path)
  if (path.startsWith("examples/") && examples.includes(relative("examples", path))) return `${path}.md`
  return undefined
}

const withoutCode = /(^```[\s\S]*?^```$)/gm

/** The site draws no Mermaid: a graph becomes a table of its nodes and of what each of them points at. */
const table = (graph) => {
  const labels = new Map(Array.from(graph.matchAll(/^ *(\w+)\["(.+)"\]$/gm), ([, id, label]) => [id, label]))
  const arrows = Array.from(graph.matchAll(/^ *(\w+) --> (\w+)$/gm), ([, from, to]) => ({ from, to }))
  const lines = graph.trim().split("\n").length
  if (labels.size + arrows.length !== lines - 1) throw new Error(`a graph that the site cannot show:\n${graph}`)
  const targets = (id) => arrows.filter(({ from }) => from === id).map(({ to }) => `\`${labels.get(to)}\``).join(", ")
  const rows = Array.from(labels, ([id, label]) => `| \`${label}\` | ${targets(id) || "none of them"} |`)
  return ["", "| room | imports |", "| --- | --- |", ...rows, ""].join("\n")
}

/** The text as the site renders it. */
const adapt = (path, text) =>
  rewriteLinks(path, text).replaceAll(/^```mermaid\n([\s\S]*?)^```$/gm, (_, graph) => table(graph))

const rewriteLinks = (path, text) =>
  text.split(withoutCode).map((part) =>
    part.startsWith("```")
      ? part
      : part.replaceAll(
        /(!?)\[([^\]]+)\]\((?![a-z]+:|#)([^()\s#]+)(#[^()\s]+)?\)/g,
        (_, image, label, target, anchor = "") => {
          const page = pageOf(normalize(join(dirname(path), target)).replace(/\/$/, ""))
          return page === undefined ? label : `${image}[${label}](/${page}${anchor})`
        }
      )
  ).join("")

const write = (page, text) => {
  mkdirSync(dirname(join(stage, page)), { recursive: true })
  writeFileSync(join(stage, page), text)
}

/** The first comment of an example, as prose. */
const purpose = (code) =>
  /^((?:\/\/.*\n)+)/.exec(code)?.[1].replaceAll(/^\/\/ ?/gm, "").split(/\n\n/)[0].replaceAll("\n", " ").trim()

const exampleSource = (name) => readFileSync(join(root, "examples", name), "utf8")

export const writeStage = () => {
  rmSync(stage, { recursive: true, force: true })
  for (const path of [...pagesIn("docs"), ...documents]) {
    write(pageOf(path), adapt(path, readFileSync(join(root, path), "utf8")))
  }
  for (const name of examples) {
    const language = name.split(".").at(-1).replace("mjs", "js")
    write(`examples/${name}.md`, `# ${name}\n\n\`\`\`${language}\n${exampleSource(name)}\`\`\`\n`)
  }
  const list = examples.map((name) => `- [${name}](/examples/${name}.md): ${purpose(exampleSource(name))}`)
  write(
    "examples/index.md",
    `# Examples\n\nOne idea each. They are in the package too: \`node_modules/lastcall/examples\`.\n\n${
      list.join("\n")
    }\n`
  )
  cpSync(join(root, "docs"), stage, {
    recursive: true,
    filter: (path) => !/\/docs\/(api|upstream)$/.test(path) && !path.endsWith(".md")
  })
}
