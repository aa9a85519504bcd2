// The table of contents, docs/index.md, is the only list of pages: the sidebar, llms.txt and the check of the pages read it.
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

/** The sections of the table of contents, each with its pages: path in docs, title, and what it says. */
export const sections = () =>
  readFileSync(join(root, "docs/index.md"), "utf8").split(/^## /m).slice(1).map((section) => ({
    title: section.split("\n", 1)[0],
    pages: Array.from(
      section.matchAll(/^- \[(.+?)\]\((\S+?)\)(?:: (.+))?$/gm),
      ([, title, path, description]) => ({ title, path, description })
    )
  }))
