import { defineConfig } from "vitepress"
import { sections } from "../contents.mjs"

const linkOf = (path) =>
  path === "../examples" ? "/examples/" : `/${path.replace(/^\.\.\//, "").replace(/\.md$/, "").toLowerCase()}`

/** From docs/index.md, whose links are relative to docs. */
const sidebar = sections().map(({ pages, title }) => ({
  text: title,
  items: pages.map(({ path, title }) => ({ text: title, link: linkOf(path) }))
}))

export default defineConfig({
  title: "lastcall",
  description: "Structured concurrency for Effect services: stop accepting new work, finish what you already started",
  srcDir: ".stage",
  outDir: "dist",
  cacheDir: ".cache",
  cleanUrls: true,
  // build.mjs checks them, with their anchors, and links to the API reference, which is not built yet.
  ignoreDeadLinks: true,
  // The anchors of GitHub, so that a link leads to the same heading in the repository, in the package and on the site.
  markdown: {
    anchor: {
      slugify: (heading) => heading.trim().toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
    }
  },
  themeConfig: {
    nav: [
      { text: "Start", link: "/start" },
      { text: "Concepts", link: "/concepts" },
      { text: "Examples", link: "/examples/" },
      { text: "API", link: "/api/index.html", target: "_self" }
    ],
    sidebar,
    outline: { level: [2, 3] },
    search: { provider: "local" }
  }
})
