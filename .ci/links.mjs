// Every relative link of the Markdown files in a folder leads to a file or folder in it, and to a heading that is there:
// node .ci/links.mjs <folder>
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"

const folder = resolve(process.argv[2])

const prose = (text) => text.replaceAll(/```[\s\S]*?```/g, "")

/** The anchors of a document's headings, as GitHub makes them. */
const anchors = (path) =>
  Array.from(
    prose(readFileSync(path, "utf8")).matchAll(/^#+ +(.+)$/gm),
    ([, heading]) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  )

const isBroken = (file, link) => {
  if (/^[a-z]+:/i.test(link)) return false
  const [path, anchor] = link.split("#")
  const target = path === "" ? file : join(dirname(file), decodeURI(path))
  if (relative(folder, target).startsWith("..") || !existsSync(target)) return true
  return anchor !== undefined && (statSync(target).isDirectory() || !anchors(target).includes(anchor))
}

const files = readdirSync(folder, { recursive: true })
  .filter((path) => path.endsWith(".md") && !path.split("/").includes("node_modules"))
  .map((path) => join(folder, path))
const links = files.flatMap((file) =>
  Array.from(prose(readFileSync(file, "utf8")).matchAll(/\]\(([^()\s]+)\)/g), ([, link]) => ({ file, link }))
)
const broken = links.filter(({ file, link }) => isBroken(file, link))
for (const { file, link } of broken) console.error(`${relative(folder, file)}: ${link} leads nowhere`)
if (broken.length > 0 || links.length === 0) process.exitCode = 1
console.log(`${links.length} links in ${files.length} documents, ${broken.length} broken`)
