// Builds the site into website/dist: npm run docs in the repository, for the API reference, then npm run build here. Fails
// where a link leads nowhere.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"
import { build } from "vitepress"
import { root, sections } from "./contents.mjs"
import { stage, writeStage } from "./stage.mjs"

const dist = join(root, "website/dist")
const api = join(root, "docs/api")

if (!existsSync(api)) {
  throw new Error("the API reference is missing: run `npm run docs` in the root of the repository first")
}

writeStage()
rmSync(dist, { recursive: true, force: true })
await build(join(root, "website"))
cpSync(api, join(dist, "api"), { recursive: true })

// For programs that read: the table of contents, each page as Markdown beside its HTML, and all guides in one file.
cpSync(stage, dist, { recursive: true, filter: (path) => statSync(path).isDirectory() || path.endsWith(".md") })
const markdown = (path) => readFileSync(join(stage, path), "utf8")
const pages = sections().flatMap(({ pages }) => pages.map(({ path }) => path)).filter((path) => !path.startsWith(".."))
writeFileSync(join(dist, "llms.txt"), markdown("index.md"))
writeFileSync(join(dist, "llms-full.txt"), ["index.md", ...pages].map(markdown).join("\n\n"))

const ids = (file) => new Set(Array.from(readFileSync(file, "utf8").matchAll(/ id="([^"]+)"/g), ([, id]) => id))
const idsOf = new Map()

/** Whether a link of a page leads to a file of the site, and to an element that is there. */
const leads = (page, href) => {
  const [path, anchor] = href.split("#")
  const target = path === "" ? page : path.startsWith("/") ? join(dist, path) : normalize(join(dirname(page), path))
  const file = [target, `${target}.html`, join(target, "index.html")].find((file) =>
    existsSync(file) && statSync(file).isFile()
  )
  if (file === undefined || anchor === undefined || anchor === "") return file !== undefined
  if (!idsOf.has(file)) idsOf.set(file, ids(file))
  return idsOf.get(file).has(decodeURIComponent(anchor))
}

const html = readdirSync(dist, { recursive: true }).filter((path) => path.endsWith(".html") && !path.startsWith("api/"))
const links = html.flatMap((path) =>
  Array.from(
    readFileSync(join(dist, path), "utf8").matchAll(/ (?:href|src)="([^"]+)"/g),
    ([, href]) => ({ path, href })
  )
).filter(({ href }) => !/^(?:[a-z]+:|\/\/)/.test(href))
const dead = links.filter(({ href, path }) => !leads(join(dist, path), href))
for (const href of new Set(dead.map(({ href }) => href))) {
  console.error(
    `${href} leads nowhere, in ${dead.filter((link) => link.href === href).map(({ path }) => path).join(", ")}`
  )
}
console.log(`${links.length} links in ${html.length} pages, ${dead.length} dead`)
if (dead.length > 0 || links.length === 0) process.exitCode = 1
